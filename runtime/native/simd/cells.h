// What the cells of a tile hold on a die.  As kernels.h, to which the inner loops here belong.
#pragma once

#include <cstdint>

#include "simd/words.h"

namespace rcompile {

// Levels that are no whole ones are integers in units of 1 / kGrid level.
constexpr int kGrid = 1024;
constexpr int kMaxLevels = 16;  // of a cell

struct FaultCount {
  int64_t sa0 = 0;
  int64_t sa1 = 0;
  int64_t between = 0;
};

// Which words make a cell stuck, and how.
struct StuckHash {
  WordKey key;
  WordRange sa1;
  WordRange sa0;
  WordRange between;  // comes before the others
  WordKey level_key;  // of the level between
};

// Conductance of the cells programmed to each level, in levels and with leakage (rcompile/hardware/physics.py,
// CellTables).
struct CellTables {
  int levels;  // 2^cell_bits
  float base[kMaxLevels];
  float mean[kMaxLevels];
  float sigma[kMaxLevels];
  float reach[kMaxLevels];
  float spread[kMaxLevels];
  bool has_base;
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

// Keys of what deviates from cell to cell.
struct CellKeys {
  WordKey programming;
  WordKey spread;
};

// Fault maps hold a code a cell: 0 good, 1 + L stuck at level L.
struct CellKernels {
  // A tile with stuck cells at the ends, none between.
  FaultCount (*inject)(const StuckHash&, int64_t cells, uint8_t top, const uint8_t* programmed, uint8_t* actual);
  // codes[i] of the cells first + i.
  void (*stuck_codes)(const StuckHash&, uint32_t first, int64_t cells, uint8_t top, uint8_t* codes);
  // Copies levels, stuck cells at the level that they are stuck at.
  FaultCount (*apply_faults)(const uint8_t* codes, int64_t cells, uint8_t top, const uint8_t* programmed,
                             uint8_t* actual);
  // Levels on the grid, as conductances make them; `codes` of stuck cells, or null if there are none.
  void (*analog_levels)(const CellTables&, const CellKeys&, int64_t cells, const uint8_t* programmed,
                        const uint8_t* codes, int16_t* levels);
  // Levels as seen through the wires.  `scratch`: 3 * cols.
  void (*see_through)(const Wires&, int16_t* levels, double* scratch);
  // The nearest whole levels.
  void (*read_back)(const int16_t* analog, int64_t cells, uint8_t top, uint8_t* levels);
  // hits[i]: whether word i is in the range.
  void (*events)(WordKey, WordRange, int count, uint8_t* hits);
  void (*exponentials)(WordKey, int count, float* drawn);  // standard ones, of words 0 .. count - 1
  // Standard normal numbers; reach[i]: erf(k / sqrt(2)) cuts them off at +-k.
  void (*normals)(WordKey, const uint32_t* index, const float* reach, int count, float* z);
};

}  // namespace rcompile
