// The inner loops, compiled once per instruction set and chosen at run time.  Every set computes the same bits.
// No standard library types here: an inline function of theirs, compiled for a newer CPU, could be linked elsewhere.
#pragma once

#include <cstdint>

#include "simd/cells.h"
#include "simd/reads.h"

namespace rcompile {

// Outputs are computed in panels of this many columns, input rows in groups of at most kRowGroup.
constexpr int kPanelWidth = 64;
constexpr int kRowGroup = 6;
// Of a panel's weights.
constexpr int kMaxBytePlanes = 4;

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

// A run of bitlines whose outputs are consecutive columns of one panel.  16 bits suffice for the effective weights:
// levels are below 2^4, the magnitudes of an output's digits add up to 255 at most, and the offset is at most 255.
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
  int cols;  // columns that exist, up to kPanelWidth
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
  const int64_t* read_codes;                  // A of docs/hardware.md
  const int64_t* read_digital;                // the reads' part of D
  double step;
  bool integer_step;
  float unit;  // what everything is multiplied by
};

struct FoldKernels {
  // Adds the levels of `count` wordlines to one sum per bitline.
  void (*add_levels)(const uint8_t* levels, int64_t cols, const int32_t* wordlines, int count, uint32_t* sums);
  // weights[inputs[i]][run column] += multiplier * (level ^ flip) - offset, over the driven wordlines i.
  void (*accumulate)(const uint8_t* levels, int64_t cols, const uint8_t* flip, const DrivenRows&, const BitlineRun&,
                     int16_t* weights);
  bool (*fits_byte)(const int16_t* weights, int64_t count);
  // Packs a panel [4 * quads][kPanelWidth] as [quads][kPanelWidth][4] bytes: byte `plane` of w = sum of 256^p * byte p,
  // each in -128 .. 127, plus 128.
  void (*pack_plane)(const int16_t* weights, int64_t quads, int plane, uint8_t* bytes);
  // weights[inputs[i]][run column] += multiplier * level - offset, over the driven wordlines i; multiplier and offset
  // are by bitline, those of the run count for nothing.
  void (*accumulate_grid)(const int16_t* levels, int64_t cols, const int32_t* multiplier, const int32_t* offset,
                          const DrivenRows&, const BitlineRun&, int32_t* weights);
  // Byte planes that hold the weights, and plane `plane` of them: as above.
  int (*byte_planes)(const int32_t* weights, int64_t count);
  void (*pack_grid_plane)(const int32_t* weights, int64_t quads, int plane, uint8_t* bytes);
};

struct ProductKernels {
  QuantizedRow (*quantize)(const RowQuantization&, const float* x, int8_t* codes);
  // acc[rows][kPanelWidth] = x[rows][4 * quads] times one weight plane, rows <= kRowGroup.  32 bits suffice: at most
  // 65536 inputs of magnitude 127 times 255 are below 2^31.
  void (*multiply)(const int8_t* x, int64_t x_stride, int rows, const uint8_t* plane, int64_t quads, int32_t* acc);
  void (*finish)(const Epilogue&, const int32_t* acc);
  void (*finish_wide)(const Epilogue&, const int32_t* acc, const WideTerms&);
};

struct KernelTable {
  const char* name;
  int vector_bytes;  // of whole reads
  CellKernels cells;
  FoldKernels fold;
  ReadKernels reads;
  ProductKernels product;
};

// `isa`: auto, portable, avx2 or avx512.  Throws Error if unknown or not supported by this CPU.
const KernelTable& SelectKernels(const char* isa);

}  // namespace rcompile
