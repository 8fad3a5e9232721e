// Inner loops for what cells and converters do beyond the ideal, compiled once per instruction set as those of
// kernels.h, to which they belong.
#pragma once

#include <cstdint>

namespace rcompile {

// Levels that are no whole ones are integers in units of 1 / kGrid level.
constexpr int kGrid = 1024;
constexpr int kMaxLevels = 16;    // of a cell
constexpr int kAnalogLanes = 16;  // bitlines read at once

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

// What is made of the codes of a vote group's replicas in one read.
enum class Vote {
  kNone,  // there is one replica
  kMedian,
  kMean,
};

// How a current becomes a code.
enum class Conversion {
  kWhole,  // floor(current + 1/2), clipped: a step of one level, and no gain or offset
  kAny,    // floor((current * gain + offset) / step + 1/2), clipped
  kNone,   // an ideal converter: the current without its leakage, in units of the grid
};

// One operation unit, read on kAnalogLanes bitlines or vote groups of one tile for several input rows.
struct AnalogRead {
  Conversion conversion;
  Vote vote;
  int rows;
  int wordlines;
  int replicas;
  const int16_t* levels;   // [driven wordline][lane], of replica 0
  int64_t replica_stride;  // from one replica's levels to the next one's
  const uint8_t* x;        // [row][plane][bit][group of 4 wordlines]: pattern of the digits' bits, times kPatternScale
  int64_t x_stride;
  int64_t x_bit_stride;
  int dac_bits;
  const uint16_t* planes;  // per row: the set of planes to read
  int64_t planes_stride;
  const uint16_t* populations;  // [row][plane]: sum of the digits
  int64_t population_stride;
  const int32_t* plane_weight;
  // By population:
  const int32_t* bias;  // leakage and a half, in units of the grid; kWhole
  const double* leak;   // kAny
  const double* noise;  // standard deviation in units of the grid; null: none
  // By [replica][lane]:
  const uint32_t* bitline;  // in its crossbar
  const double* gain;       // kAny
  const double* offset;     // kAny
  // A read's number in its tile is first_counter + plane * plane_counters + bitline; the keys are by row.
  uint32_t first_counter;
  uint32_t plane_counters;
  const WordKey* noise_keys;
  const WordKey* flip_keys;
  WordRange flip;  // of codes
  int flip_bit;    // -1: any
  int adc_bits;
  double step;
  int32_t code_max;
  // By lane: where its codes are added, [row][kPanelWidth], times the weight; 0: no bitline in the lane.
  const uint8_t* column;
  const int32_t* weight;
  bool is_run;  // columns are consecutive
  int64_t* codes;
};

struct DrivenRows;
struct BitlineRun;

// Fault maps hold a code a cell: 0 good, 1 + L stuck at level L.
struct PhysicsKernels {
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
  // weights[inputs[i]][run column] += multiplier * level - offset, over the driven wordlines i; multiplier and offset are
  // by bitline, those of the run count for nothing.
  void (*accumulate)(const int16_t* levels, int64_t cols, const int32_t* multiplier, const int32_t* offset,
                     const DrivenRows&, const BitlineRun&, int32_t* weights);
  // Byte planes that hold the weights, and plane `plane` of them: see KernelTable::pack_plane.
  int (*byte_planes)(const int32_t* weights, int64_t count);
  void (*pack_plane)(const int32_t* weights, int64_t quads, int plane, uint8_t* bytes);
  // hits[i]: whether word i is in the range.
  void (*events)(WordKey, WordRange, int count, uint8_t* hits);
  void (*exponentials)(WordKey, int count, float* drawn);  // standard ones, of words 0 .. count - 1
  // Standard normal numbers; reach[i]: erf(k / sqrt(2)) cuts them off at +-k.
  void (*normals)(WordKey, const uint32_t* index, const float* reach, int count, float* z);
  void (*read)(const AnalogRead&);
};

}  // namespace rcompile
