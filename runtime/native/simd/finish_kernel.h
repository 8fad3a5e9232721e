// From integer results to float32.  Compiled as vectors.h.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd/kernels.h"

namespace rcompile {
namespace {

// 128 * sum(x) undoes the packed weights' excess of 128.
void Finish(const Epilogue& e, const int32_t* acc) {
  for (int i = 0; i < e.rows; ++i) {
    const int32_t excess = 128 * e.row[i].sum;
    const float row_scale = e.row[i].scale;
    const int32_t* __restrict a = acc + i * kPanelWidth;
    float* __restrict y = e.y + i * e.y_stride;
    for (int j = 0; j < e.cols; ++j) {
      y[j] = static_cast<float>(a[j] - excess) * (row_scale * e.weight_scale[j]) + e.bias[j];
    }
  }
}

inline float RoundResult(int64_t codes, int64_t digital, const WideTerms& terms) {
  if (terms.integer_step) return static_cast<float>(static_cast<int64_t>(terms.step) * codes + digital);
  return static_cast<float>(terms.step * static_cast<double>(codes) + static_cast<double>(digital));
}

void FinishWide(const Epilogue& e, const int32_t* acc, const WideTerms& terms) {
  for (int i = 0; i < e.rows; ++i) {
    const int64_t excess = 128 * static_cast<int64_t>(e.row[i].sum);
    const float row_scale = e.row[i].scale;
    const int at = i * kPanelWidth;
    float* __restrict y = e.y + i * e.y_stride;
    int64_t digital[kPanelWidth], codes[kPanelWidth] = {};
    for (int j = 0; j < kPanelWidth; ++j) digital[j] = acc[at + j] - excess;
    int shift = 0;
    for (const int32_t* higher : terms.higher) {
      shift += 8;
      if (higher == nullptr) break;
      for (int j = 0; j < kPanelWidth; ++j) digital[j] += (higher[at + j] - excess) * (int64_t{1} << shift);
    }
    if (terms.constant != nullptr) {
      for (int j = 0; j < kPanelWidth; ++j) digital[j] += terms.constant[j];
    }
    if (terms.read_digital != nullptr) {
      for (int j = 0; j < kPanelWidth; ++j) digital[j] += terms.read_digital[at + j];
    }
    if (terms.read_codes != nullptr) std::memcpy(codes, terms.read_codes + at, sizeof codes);
    for (int j = 0; j < e.cols; ++j) {
      y[j] = RoundResult(codes[j], digital[j], terms) * terms.unit * (row_scale * e.weight_scale[j]) + e.bias[j];
    }
  }
}

void Scatter(const int64_t* lane_codes, int lanes, int rows, const uint8_t* column, const int32_t* weight,
             int64_t* codes) {
  for (int row = 0; row < rows; ++row, lane_codes += lanes, codes += kPanelWidth) {
    for (int j = 0; j < lanes; ++j) codes[column[j]] += weight[j] * lane_codes[j];
  }
}

}  // namespace
}  // namespace rcompile
