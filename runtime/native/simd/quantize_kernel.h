// Rows of float32 to codes: plain loops that the compiler vectorizes.  Compiled as vectors.h.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd/kernels.h"

namespace rcompile {
namespace {

inline uint32_t Bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// They order magnitudes, NaN and Inf above every finite number.
inline uint32_t MagnitudeBits(float value) { return Bits(value) & 0x7FFFFFFFu; }

inline uint32_t LargestMagnitude(const float* x, int64_t size) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < size; ++i) {
    const uint32_t bits = MagnitudeBits(x[i]);
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

constexpr float kRounder = 12582912.f;  // 1.5 * 2^23: adding it rounds to an integer, ties to even

inline float Clip(float value, float limit) {
  value = value > limit ? limit : value;
  return value < -limit ? -limit : value;
}

// Codes of x / scale; returns their sum.
int32_t QuantizeByDivision(const float* __restrict x, int64_t size, float scale, float code_max,
                           int8_t* __restrict codes) {
  int32_t sum = 0;
  for (int64_t i = 0; i < size; ++i) {
    const int32_t code = static_cast<int32_t>((Clip(x[i] / scale, code_max) + kRounder) - kRounder);
    codes[i] = static_cast<int8_t>(code);
    sum += code;
  }
  return sum;
}

// Codes of x * inverse, which is faster; returns whether they are proven to be those of x / scale.  The product and the
// rounded quotient are each at most 127.5 where no clip makes them equal, and three roundings, 2^-15 at most, apart:
// they round to one integer unless the product is that near to the middle of two.
template <bool kClip>
bool QuantizeByInverse(const float* __restrict x, int64_t size, float inverse, float code_max, int8_t* __restrict codes,
                       int32_t* sum_of_codes) {
  uint32_t sum = 0, farthest = 0;
  for (int64_t i = 0; i < size; ++i) {
    const float value = kClip ? Clip(x[i] * inverse, code_max) : x[i] * inverse;
    const float shifted = value + kRounder;
    const uint32_t distance = MagnitudeBits(value - (shifted - kRounder));
    farthest = distance > farthest ? distance : farthest;
    const uint32_t bits = Bits(shifted);  // those of kRounder, plus the code
    codes[i] = static_cast<int8_t>(bits);
    sum += bits;
  }
  *sum_of_codes = static_cast<int32_t>(sum - static_cast<uint32_t>(size) * Bits(kRounder));
  return farthest < Bits(0.5f - 0x1p-15f);
}

QuantizedRow QuantizeRow(const RowQuantization& how, const float* x, int8_t* codes) {
  constexpr uint32_t kInfinity = 0x7F800000u;
  constexpr float kSmallestScale = 0x1p-126f, kLargestScale = 0x1p126f;  // between them, inverses are normal numbers
  const uint32_t bits = LargestMagnitude(x, how.size);
  if (bits >= kInfinity) {
    std::memset(codes, 0, how.size);
    return {__builtin_nanf(""), 0};
  }
  const bool is_static = how.static_scale != 0;
  float scale = how.static_scale;
  if (!is_static) {
    float largest;
    std::memcpy(&largest, &bits, sizeof largest);
    scale = largest / how.code_max;
    if (scale < kSmallestScale) scale = kSmallestScale;
  }
  QuantizedRow row{scale, 0};
  if (scale >= kSmallestScale && scale <= kLargestScale) {
    const auto by_inverse = is_static ? QuantizeByInverse<true> : QuantizeByInverse<false>;  // dynamic: none to clip
    if (by_inverse(x, how.size, 1 / scale, how.code_max, codes, &row.sum)) return row;
  }
  row.sum = QuantizeByDivision(x, how.size, scale, how.code_max, codes);
  return row;
}

}  // namespace
}  // namespace rcompile
