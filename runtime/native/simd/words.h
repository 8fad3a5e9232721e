// Words of docs/hardware.md, "Random numbers", as kernels take them.
#pragma once

#include <cstdint>

namespace rcompile {

// The two halves of a key.
struct WordKey {
  uint32_t low;
  uint32_t high;
};

// Words first .. last; none unless possible.
struct WordRange {
  bool possible;
  uint32_t first;
  uint32_t last;
};

}  // namespace rcompile
