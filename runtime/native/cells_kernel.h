// What the cells of a tile hold on a die: stuck cells.  Compiled as kernels_common.h.
#pragma once

#include "random_kernel.h"

namespace rcompile {
namespace {

// Without levels between, which take a second hash.
FaultCount InjectFaults(const StuckHash& hash, int64_t cells, uint8_t top, const uint8_t* programmed, uint8_t* actual) {
  const WordKey key = hash.key;
  const uint32_t sa1_last = hash.sa1.last, sa0_first = hash.sa0.first;
  const uint8_t any_sa0 = hash.sa0.possible ? 255 : 0, any_sa1 = hash.sa1.possible ? 255 : 0;
  uint32_t sa0_count = 0, sa1_count = 0;  // a tile has at most 2^28 cells
  for (uint32_t i = 0; i < static_cast<uint32_t>(cells); ++i) {
    const uint32_t h = WordAt(key, i);
    const uint8_t sa1 = (h <= sa1_last ? 255 : 0) & any_sa1;
    const uint8_t sa0 = (h >= sa0_first ? 255 : 0) & any_sa0;
    actual[i] = static_cast<uint8_t>((programmed[i] & ~(sa0 | sa1)) | (top & sa1));
    sa0_count += sa0 & 1;
    sa1_count += sa1 & 1;
  }
  return {sa0_count, sa1_count, 0};
}

void StuckCodes(const StuckHash& hash, uint32_t first, int64_t cells, uint8_t top, uint8_t* codes) {
  const StuckHash h = hash;  // a copy, which no store can change
  const uint8_t sa1_code = static_cast<uint8_t>(1 + top);
  for (uint32_t i = 0; i < static_cast<uint32_t>(cells); ++i) {
    const uint32_t word = WordAt(h.key, first + i);
    const uint8_t sa0 = Hits(h.sa0, word) ? 1 : 0;
    codes[i] = Hits(h.sa1, word) ? sa1_code : sa0;
  }
  if (!h.between.possible) return;
  for (uint32_t i = 0; i < static_cast<uint32_t>(cells); ++i) {
    const uint64_t drawn = WordAt(h.level_key, first + i);
    const uint8_t code = static_cast<uint8_t>(2 + (drawn * (top - 1u) >> 32));
    codes[i] = Hits(h.between, WordAt(h.key, first + i)) ? code : codes[i];
  }
}

FaultCount ApplyFaults(const uint8_t* codes, int64_t cells, uint8_t top, const uint8_t* programmed, uint8_t* actual) {
  uint32_t sa0 = 0, sa1 = 0, stuck = 0;
  for (int64_t i = 0; i < cells; ++i) {
    const uint8_t code = codes[i];
    actual[i] = static_cast<uint8_t>(code != 0 ? code - 1 : programmed[i]);
    sa0 += code == 1;
    sa1 += code == top + 1;
    stuck += code != 0;
  }
  return {sa0, sa1, int64_t{stuck} - sa0 - sa1};
}

constexpr PhysicsKernels kPhysics = {StuckCodes, ApplyFaults, DrawEvents, DrawExponentials, DrawNormals};

}  // namespace
}  // namespace rcompile
