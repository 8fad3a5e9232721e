// Reads of operation units.  As kernels.h, to which the inner loops here belong.
#pragma once

#include <cstdint>

#include "simd/words.h"

namespace rcompile {

// Patterns of input bits are stored times this, which saves the kernel a shift.
constexpr int kPatternScale = 8;
// Input bits are at most 8, and sign and magnitude are driven apart.
constexpr int kMaxPlanes = 16;
// Of one vote group.
constexpr int kMaxReplicas = 15;
// Bitlines of an analog read.
constexpr int kAnalogLanes = 16;

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

// An ADC; the kernels make codes of currents in levels.
struct Converter {
  double step;
  int64_t code_max;
};

// What a read contributes to the sum over planes, times the plane's weight.
enum class ReadKind {
  kClipped,  // min(sum, limit)
  kExcess,   // sum - min(sum, limit): what clipping takes away
  kStepped,  // floor((sum + leak) / step + 1/2), clipped
};

// What drives one operation unit, for several input rows.
struct DrivenInputs {
  int rows;
  int wordlines;
  const uint8_t* x;  // [row][plane][bit][group of 4 wordlines]: pattern of the pulses' bits, times kPatternScale
  int64_t x_stride;
  int64_t x_bit_stride;
  int dac_bits;
  const uint16_t* planes;  // per row: the set of planes to read
  int64_t planes_stride;
  const uint16_t* populations;  // [row][plane]: sum of the pulses
  int64_t populations_stride;
  const int32_t* plane_weight;
};

// One operation unit, read on one vector of bitlines or of vote groups whose levels are whole.
struct WholeRead {
  ReadKind kind;  // not kExcess if there is a vote
  Vote vote;
  // Bytes of a lane: 1 where the limit fits a byte (sums saturate), else 2 or 4 so that sums are exact.
  int lane_bytes;
  bool is_unsigned;  // no plane has a negative weight
  DrivenInputs inputs;
  int replicas;
  const uint8_t* levels;   // [driven wordline][lane], of replica 0
  int64_t replica_stride;  // from one replica's levels to the next one's
  // By population:
  const uint32_t* limit;  // not for kStepped
  const double* leak;     // kStepped only
  Converter converter;
  int64_t* codes;  // [row][lane], added to, times codes_weight; lane i is at LanePosition(i) in `levels`
  int64_t codes_stride;
  int64_t codes_weight;
};

// One operation unit, read on bitlines one after the other.  A lane is a read, of one row of x and one plane: each row
// has equally many lanes, the last ones without a plane if need be.
struct LookupRead {
  int bitlines;           // an even number
  int groups;             // of ReadKernels::lookup_wordlines
  const uint8_t* levels;  // [bitline][group][PackedLevels(lookup_wordlines)]
  int64_t bitline_stride;
  const uint8_t* x;      // [group][lane]: pattern of input bits
  int64_t x_stride;      // from group to group
  int64_t lanes;         // a whole number of vectors
  const uint8_t* limit;  // [lane]; of every vector alike if limit_stride is 0, else that is 1
  int64_t limit_stride;
  const int8_t* plane_weight;  // [lane] of any vector
  const uint8_t* column;       // of each bitline
  const int32_t* weight;       // of each bitline
  int32_t* codes;              // [column][lane / 4]: added to, weight times the sum of four lanes
  int64_t codes_stride;
};

// Levels of two bits, four wordlines a byte, the first wordline lowest: bytes of so many wordlines.
constexpr int PackedLevels(int wordlines) { return (wordlines + 3) / 4; }

// The sums of even and odd positions are widened apart, so that neighbours in `levels` are half a vector away in
// `codes`.
constexpr int LanePosition(int lane, int lanes) { return lane < lanes / 2 ? 2 * lane : 2 * (lane - lanes / 2) + 1; }

// One operation unit, read on kAnalogLanes bitlines or vote groups of one tile whose levels are on the grid.
struct AnalogRead {
  Conversion conversion;
  Vote vote;
  DrivenInputs inputs;
  int replicas;
  const int16_t* levels;   // [driven wordline][lane], of replica 0
  int64_t replica_stride;  // from one replica's levels to the next one's
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
  Converter converter;
  // By lane: where its codes are added, [row][kPanelWidth], times the weight; 0: no bitline in the lane.
  const uint8_t* column;
  const int32_t* weight;
  bool is_run;  // columns are consecutive
  int64_t* codes;
};

struct ReadKernels {
  void (*whole)(const WholeRead&);    // without a vote
  void (*voted)(const WholeRead&);    // with one
  void (*lookup)(const LookupRead&);  // without a vote, for sums that a byte holds or saturates at
  int lookup_wordlines;               // that `lookup` looks up at once; 0: there is no `lookup`
  void (*analog)(const AnalogRead&);
  // codes[row][column[lane]] += weight[lane] * lane_codes[row][lane]; `codes` has row stride kPanelWidth.
  void (*scatter)(const int64_t* lane_codes, int lanes, int rows, const uint8_t* column, const int32_t* weight,
                  int64_t* codes);
};

}  // namespace rcompile
