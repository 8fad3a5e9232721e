// From levels to effective weights: plain loops that the compiler vectorizes.  Compiled as vectors.h.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd/kernels.h"
#include "simd/vectors.h"

namespace rcompile {
namespace {

// A few bitlines; the compiler splits these where the CPU's vectors are shorter.
template <int kCount>
struct Bitlines {
  typedef uint8_t Levels __attribute__((vector_size(kCount)));
  typedef uint16_t Sums __attribute__((vector_size(2 * kCount)));
  typedef int16_t Weights __attribute__((vector_size(2 * kCount)));
};
constexpr int kBitlines = 32;

// `count` is at most 256, so that 16 bits hold the sums.
void AddChunk(const uint8_t* levels, int64_t cols, const int32_t* wordlines, int count, uint32_t* sums) {
  using Chunk = Bitlines<kBitlines>;
  Chunk::Sums partial = {};
  for (int i = 0; i < count; ++i) {
    partial += __builtin_convertvector(LoadVector<Chunk::Levels>(levels + wordlines[i] * cols), Chunk::Sums);
  }
  for (int j = 0; j < kBitlines; ++j) sums[j] += partial[j];
}

void AddLevels(const uint8_t* levels, int64_t cols, const int32_t* wordlines, int count, uint32_t* sums) {
  constexpr int kChunk = 256;
  int64_t col = 0;
  for (; col + kBitlines <= cols; col += kBitlines) {
    for (int start = 0; start < count; start += kChunk) {
      const int size = count - start < kChunk ? count - start : kChunk;
      AddChunk(levels + col, cols, wordlines + start, size, sums + col);
    }
  }
  for (; col < cols; ++col) {
    for (int i = 0; i < count; ++i) sums[col] += levels[wordlines[i] * cols + col];
  }
}

// Of kCount bitlines.
template <int kCount>
void AccumulateChunk(const uint8_t* levels, int64_t cols, const uint8_t* flip, const DrivenRows& driven,
                     const typename Bitlines<kCount>::Weights& multiplier,
                     const typename Bitlines<kCount>::Weights& offset, int16_t* weights) {
  using Levels = typename Bitlines<kCount>::Levels;
  using Weights = typename Bitlines<kCount>::Weights;
  const Levels mask = LoadVector<Levels>(flip);
  const Weights times = multiplier, less = offset;  // copies, which no store can change
  for (int i = 0; i < driven.count; ++i) {
    const Levels level = LoadVector<Levels>(levels + driven.wordlines[i] * cols) ^ mask;
    int16_t* target = weights + static_cast<int64_t>(driven.inputs[i]) * kPanelWidth;
    StoreVector(LoadVector<Weights>(target) + __builtin_convertvector(level, Weights) * times - less, target);
  }
}

// As many whole chunks as fit into what is left of the run; returns where the rest begins.
template <int kCount>
int AccumulateChunks(const uint8_t* levels, int64_t cols, const uint8_t* flip, const DrivenRows& driven,
                     const BitlineRun& run, int done, int16_t* weights) {
  using Weights = typename Bitlines<kCount>::Weights;
  const Weights multiplier = Weights{} + run.multiplier, offset = Weights{} + run.offset;
  for (; done + kCount <= run.length; done += kCount) {
    const int col = run.first_bitline + done, column = run.first_column + done;
    AccumulateChunk<kCount>(levels + col, cols, flip + col, driven, multiplier, offset, weights + column);
  }
  return done;
}

void AccumulateRun(const uint8_t* levels, int64_t cols, const uint8_t* flip, const DrivenRows& driven,
                   const BitlineRun& run, int16_t* weights) {
  int done = AccumulateChunks<kBitlines>(levels, cols, flip, driven, run, 0, weights);
  done = AccumulateChunks<16>(levels, cols, flip, driven, run, done, weights);
  done = AccumulateChunks<8>(levels, cols, flip, driven, run, done, weights);
  const int rest = run.length - done;
  if (rest == 0) return;
  // The rest, with bitlines beside it that are left alone: those after it, or before it where a row ends.
  const int col = run.first_bitline + done, column = run.first_column + done;
  const int before = col + 8 <= cols && column + 8 <= kPanelWidth ? 0 : 8 - rest;
  if (before <= col && before <= column) {
    Bitlines<8>::Weights multiplier = {}, offset = {};
    for (int j = before; j < before + rest; ++j) {
      multiplier[j] = run.multiplier;
      offset[j] = run.offset;
    }
    AccumulateChunk<8>(levels + col - before, cols, flip + col - before, driven, multiplier, offset,
                       weights + column - before);
    return;
  }
  for (int i = 0; i < driven.count; ++i) {
    const uint8_t* source = levels + driven.wordlines[i] * cols + col;
    int16_t* target = weights + static_cast<int64_t>(driven.inputs[i]) * kPanelWidth + column;
    for (int j = 0; j < rest; ++j) {
      target[j] = static_cast<int16_t>(target[j] + (source[j] ^ flip[col + j]) * run.multiplier - run.offset);
    }
  }
}

bool FitsByte(const int16_t* weights, int64_t count) {
  uint16_t outside = 0;
  for (int64_t i = 0; i < count; ++i) outside |= static_cast<uint16_t>(weights[i] + 128) & 0xFF00u;
  return outside == 0;
}

// Interleaves the bytes of four wordlines' weights, so that one 32-bit lane holds four features of a column.
template <class Weight>
void PackPlane(const Weight* weights, int64_t quads, int plane, uint8_t* bytes) {
  const int shift = 8 * plane;
  for (int64_t q = 0; q < quads; ++q) {
    const Weight* w = weights + q * 4 * kPanelWidth;
    uint32_t packed[kPanelWidth];
    for (int j = 0; j < kPanelWidth; ++j) {
      uint32_t lane = 0;
      for (int i = 0; i < 4; ++i) {
        // 128 more in every byte makes those of a negative number borrow as they should.
        const uint32_t word = static_cast<uint32_t>(static_cast<int32_t>(w[i * kPanelWidth + j])) + 0x80808080u;
        lane |= (word >> shift & 255) << (8 * i);
      }
      packed[j] = lane;
    }
    std::memcpy(bytes + q * 4 * kPanelWidth, packed, sizeof packed);
  }
}

void AccumulateGrid(const int16_t* levels, int64_t cols, const int32_t* multiplier, const int32_t* offset,
                    const DrivenRows& driven, const BitlineRun& run, int32_t* weights) {
  const int length = run.length;
  const int32_t* __restrict m = multiplier + run.first_bitline;
  const int32_t* __restrict o = offset + run.first_bitline;
  for (int i = 0; i < driven.count; ++i) {
    const int16_t* __restrict level = levels + driven.wordlines[i] * cols + run.first_bitline;
    int32_t* __restrict target = weights + static_cast<int64_t>(driven.inputs[i]) * kPanelWidth + run.first_column;
    for (int j = 0; j < length; ++j) target[j] += level[j] * m[j] - o[j];
  }
}

int BytePlanes(const int32_t* weights, int64_t count) {
  int32_t low = 0, high = 0;
  for (int64_t i = 0; i < count; ++i) {
    low = weights[i] < low ? weights[i] : low;
    high = weights[i] > high ? weights[i] : high;
  }
  int64_t ones = 1;  // 256^0 + 256^1 + ..
  int planes = 1;
  for (; planes < kMaxBytePlanes && (high > 127 * ones || low < -128 * ones); ++planes) ones = 256 * ones + 1;
  return planes;
}

constexpr FoldKernels kFoldKernels = {
    AddLevels, AccumulateRun, FitsByte, PackPlane<int16_t>, AccumulateGrid, BytePlanes, PackPlane<int32_t>,
};

}  // namespace
}  // namespace rcompile
