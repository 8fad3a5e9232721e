// Dies: which cells are stuck.  A die is clean, virtual (a seed and two rates) or given cell by cell.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernels.h"

namespace rcompile {

// Two bits a cell, four cells a byte, first cell in the low bits: 0 good, 1 SA0, 2 SA1.
using FaultMap = std::vector<uint8_t>;

struct Die {
  enum class Kind { kClean, kVirtual, kMapped };

  Kind kind = Kind::kClean;
  uint64_t seed = 0;
  uint64_t sa0_threshold = 0;  // floor(rate * 2^32)
  uint64_t sa1_threshold = 0;
  std::map<std::string, FaultMap, std::less<>> maps;  // by layer name

  bool operator==(const Die& other) const;
};

TileHash MakeTileHash(const Die& die, int64_t tile_in_bundle);

// `clean`, `map`, or `seed=<u64>,sa0=<decimal>,sa1=<decimal>`.  A mapped die has no maps yet.
Die ParseDie(std::string_view text);
// Base64 of the fault map of a layer with `cells` cells.
FaultMap ParseFaultMap(std::string_view base64, int64_t cells, const std::string& layer);

// Copies `cells` levels from `programmed` to `actual`, stuck cells at the level they are stuck at.  The cells are
// `first_cell ..` of `map`.
FaultCount ApplyFaultMap(const FaultMap& map, int64_t first_cell, int64_t cells, uint8_t top,
                         const uint8_t* programmed, uint8_t* actual);

// Locale-free; throws Error naming `what` and the text.
double ParseDecimal(std::string_view text, const std::string& what);
uint64_t ParseUnsigned(std::string_view text, const std::string& what);

}  // namespace rcompile
