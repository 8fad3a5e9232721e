// The inner loops, compiled once per instruction set and chosen at run time.  Every set computes the same bits.
// No standard library types here: an inline function of theirs, compiled for a newer CPU, could be linked elsewhere.
#pragma once

#include <cstdint>

#include "physics.h"

namespace rcompile {

// Outputs are computed in panels of this many columns, input rows in groups of at most kRowGroup.
constexpr int kPanelWidth = 64;
constexpr int kRowGroup = 6;
// Patterns of input bits are stored times this, which saves the kernel a shift.
constexpr int kPatternScale = 8;
// Of a panel's weights.
constexpr int kMaxBytePlanes = 4;
// Of one vote group.
constexpr int kMaxReplicas = 15;

// Driven wordlines of a tile and the feature on each.
struct DrivenRows {
  const int32_t* wordlines;
  const int32_t* inputs;
  int count;
};

// How to turn one row of float32 into codes.
struct RowQuantization {
  int64_t size;
  float code_max;
  float static_scale;  // 0: dynamic
};
struct QuantizedRow {
  float scale;  // NaN if the row held NaN or Inf
  int32_t sum;  // of the codes
};

// A run of bitlines whose outputs are consecutive columns of one panel.  16 bits suffice for the effective weights: all
// slices of an output at the top level are below 2^9 (3-bit cells, three slices), and the offset is at most 128.
struct BitlineRun {
  int first_bitline;
  int length;
  int first_column;  // in the panel's int16 weights, row stride kPanelWidth
  int16_t multiplier;
  int16_t offset;
};

// Integer results of a panel for a few rows, and what turns them into float32.
struct Epilogue {
  int rows;
  int cols;                   // columns that exist, up to kPanelWidth
  const QuantizedRow* row;
  const float* weight_scale;  // of the panel's columns
  const float* bias;
  float* y;
  int64_t y_stride;
};

// Terms beyond the product of the lowest byte plane; all row strides are kPanelWidth, null means absent.
struct WideTerms {
  const int32_t* higher[kMaxBytePlanes - 1];  // products of the higher byte planes
  const int64_t* constant;                    // one per column
  const int64_t* serial_codes;                // A of docs/hardware.md
  const int64_t* serial_digital;              // bit-serial part of D
  double step;
  bool integer_step;
  float unit;  // what everything is multiplied by
};

// What a read contributes to the sum over planes, times the plane's weight.
enum class ReadKind {
  kClipped,  // min(sum, limit)
  kExcess,   // sum - min(sum, limit): what clipping takes away
  kStepped,  // floor((sum + leak) / step + 1/2), clipped
};

// One operation unit, read on one vector of bitlines or of vote groups for several input rows.
struct SerialRead {
  ReadKind kind;  // not kExcess if there is a vote
  Vote vote;
  // Bytes of a lane: 1 where the limit fits a byte (sums saturate), else 2 or 4 so that sums are exact.
  int lane_bytes;
  bool is_unsigned;  // no plane has a negative weight
  int rows;
  int wordlines;
  int replicas;
  const uint8_t* levels;   // [wordline][lane], of replica 0
  int64_t replica_stride;  // from one replica's levels to the next one's
  const uint8_t* x;       // [row][plane][group of 4 wordlines]: pattern of input bits, times kPatternScale
  int64_t x_stride;
  int64_t x_plane_stride;
  const uint16_t* planes;  // per row: the set of planes to read
  int64_t planes_stride;
  const int32_t* plane_weight;
  const uint32_t* limit;  // [row][plane], not for kStepped
  const double* leak;     // [row][plane], kStepped only
  int64_t term_stride;    // row stride of limit or leak, 0 if all rows are alike
  double step;
  int64_t code_max;
  int64_t* codes;  // [row][lane], added to, times codes_weight; lane i is at LanePosition(i) in `levels`
  int64_t codes_stride;
  int64_t codes_weight;
};

// One operation unit, read on bitlines one after the other.  A lane is a read, of one row of x and one plane: each row
// has equally many lanes, the last ones without a plane if need be.
struct LaneRead {
  int bitlines;  // an even number
  int groups;    // of KernelTable::lookup wordlines
  const uint8_t* levels;  // [bitline][group][PackedLevels(lookup)]
  int64_t bitline_stride;
  const uint8_t* x;  // [group][lane]: pattern of input bits
  int64_t x_stride;  // from group to group
  int64_t lanes;     // a whole number of vectors
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

struct KernelTable {
  const char* name;
  int vector_bytes;  // of the bit-serial part
  // Fold of a die.
  // A tile with stuck cells at the ends, none between.
  FaultCount (*inject)(const StuckHash&, int64_t cells, uint8_t top, const uint8_t* programmed, uint8_t* actual);
  // Adds the levels of `count` wordlines to one sum per bitline.
  void (*add_levels)(const uint8_t* levels, int64_t cols, const int32_t* wordlines, int count, uint32_t* sums);
  // weights[inputs[i]][run column] += multiplier * (level ^ flip) - offset, over the driven wordlines i.
  void (*accumulate)(const uint8_t* levels, int64_t cols, const uint8_t* flip, const DrivenRows&, const BitlineRun&,
                     int16_t* weights);
  bool (*fits_byte)(const int16_t* weights, int64_t count);
  // Packs a panel [4 * quads][kPanelWidth] as [quads][kPanelWidth][4] bytes: digit `plane` of w in base 256, all digits in
  // -128 .. 127, plus 128.
  void (*pack_plane)(const int16_t* weights, int64_t quads, int plane, uint8_t* bytes);
  // Product.
  QuantizedRow (*quantize)(const RowQuantization&, const float* x, int8_t* codes);
  // acc[rows][kPanelWidth] = x[rows][4 * quads] times one weight plane, rows <= kRowGroup.  32 bits suffice: at most
  // 65536 inputs of magnitude 127 times 255 are below 2^31.
  void (*multiply)(const int8_t* x, int64_t x_stride, int rows, const uint8_t* plane, int64_t quads, int32_t* acc);
  void (*finish)(const Epilogue&, const int32_t* acc);
  void (*finish_wide)(const Epilogue&, const int32_t* acc, const WideTerms&);
  void (*read)(const SerialRead&);        // without a vote
  void (*read_voted)(const SerialRead&);  // with one
  void (*read_lanes)(const LaneRead&);    // without a vote, for sums that a byte holds or saturates at
  int lookup;                             // wordlines that read_lanes looks up at once; 0: there is no read_lanes
  // codes[row][column[lane]] += weight[lane] * lane_codes[row][lane]; `codes` has row stride kPanelWidth.
  void (*scatter)(const int64_t* lane_codes, int lanes, int rows, const uint8_t* column, const int32_t* weight,
                  int64_t* codes);
  PhysicsKernels physics;
};

// `isa`: auto, portable, avx2 or avx512.  Throws Error if unknown or not supported by this CPU.
const KernelTable& SelectKernels(const char* isa);

}  // namespace rcompile
