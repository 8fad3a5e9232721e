// Inner loops for what cells and converters do beyond the ideal, compiled once per instruction set as those of
// kernels.h, to which they belong.
#pragma once

#include <cstdint>

namespace rcompile {

// Levels that are no whole ones are integers in units of 1 / kGrid level.
constexpr int kGrid = 1024;
constexpr int kMaxLevels = 16;  // of a cell

struct FaultCount {
  int64_t sa0 = 0;
  int64_t sa1 = 0;
  int64_t between = 0;
};

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

// Which words make a cell stuck, and how.
struct StuckHash {
  WordKey key;
  WordRange sa1;
  WordRange sa0;
  WordRange between;  // comes before the others
  WordKey level_key;  // of the level between
};

// Conductance of the cells programmed to each level, in levels and with leakage (runtime/device.py, CellTables).
struct CellTables {
  int levels;  // 2^cell_bits
  float mean[kMaxLevels];
  float sigma[kMaxLevels];
  float reach[kMaxLevels];
  float spread[kMaxLevels];
  bool has_sigma;
  bool has_spread;
  double hrs_levels;
};

// The wires of a crossbar: share of the read voltage that a current of one level loses over one segment.
struct Wires {
  double wordline_drop;
  double bitline_drop;
  int32_t leak;  // of a level-0 cell, in units of 1 / kGrid level
  int64_t rows;
  int64_t cols;
};

// Fault maps hold a code a cell: 0 good, 1 + L stuck at level L.
struct PhysicsKernels {
  // codes[i] of the cells first + i.
  void (*stuck_codes)(const StuckHash&, uint32_t first, int64_t cells, uint8_t top, uint8_t* codes);
  // Copies levels, stuck cells at the level that they are stuck at.
  FaultCount (*apply_faults)(const uint8_t* codes, int64_t cells, uint8_t top, const uint8_t* programmed,
                             uint8_t* actual);
  // hits[i]: whether word i is in the range.
  void (*events)(WordKey, WordRange, int count, uint8_t* hits);
  void (*exponentials)(WordKey, int count, float* drawn);  // standard ones, of words 0 .. count - 1
  // Standard normal numbers; reach[i]: erf(k / sqrt(2)) cuts them off at +-k.
  void (*normals)(WordKey, const uint32_t* index, const float* reach, int count, float* z);
};

}  // namespace rcompile
