// Words and numbers of docs/hardware.md, "Random numbers": runtime/randomness.py operation by operation, each rounded by
// itself.  Compiled as kernels_common.h.
#pragma once

#include "kernels_common.h"
#include "physics.h"

namespace rcompile {
namespace {

constexpr int kNormals = 64;  // drawn at once

inline uint32_t WordAt(WordKey key, uint32_t index) { return Mix32(Mix32(index ^ key.low) ^ key.high); }

inline bool Hits(WordRange range, uint32_t word) {
  return range.possible & (word - range.first <= range.last - range.first);
}

inline float FloatOf(int32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// 2^n as a float's exponent, to be added to its bits.
inline int32_t ExponentBits(int32_t n) { return static_cast<int32_t>(static_cast<uint32_t>(n) << 23); }

template <int kCount>
inline __attribute__((always_inline)) float Polynomial(float x, const double (&coefficients)[kCount]) {
  float p = static_cast<float>(coefficients[0]);
#pragma GCC unroll 16
  for (int i = 1; i < kCount; ++i) p = p * x + static_cast<float>(coefficients[i]);
  return p;
}

constexpr double kLogarithm[] = {1 / 9., 1 / 7., 1 / 5., 1 / 3., 1.0};
constexpr double kExponential[] = {1 / 720., 1 / 120., 1 / 24., 1 / 6., 1 / 2., 1.0, 1.0};
constexpr double kCentre[] = {2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
                              -0.00125372503, -0.00417768164, 0.246640727,    1.50140941};
constexpr double kTail[] = {-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
                            -0.0076224613,   0.00943887047,  1.00167406,    2.83297682};
// The tail's polynomial is right from here on.
constexpr float kTailStart = 5;

inline float Logarithm(float y) {
  int32_t bits;
  std::memcpy(&bits, &y, sizeof bits);
  const int32_t exponent = (bits - 0x3F3504F3) >> 23;
  const float m = FloatOf(bits - ExponentBits(exponent));
  const float t = (m - 1.f) / (m + 1.f);
  return static_cast<float>(exponent) * static_cast<float>(0.6931471805599453) +
         (t + t) * Polynomial(t * t, kLogarithm);
}

inline float Exponential(float v) {
  constexpr float kRounder = 12582912.f;
  const float n = (v * static_cast<float>(1.4426950408889634) + kRounder) - kRounder;
  const float r = (v - n * static_cast<float>(0.693145751953125)) - n * static_cast<float>(1.428606765330187e-06);
  return Polynomial(r, kExponential) * FloatOf(ExponentBits(static_cast<int32_t>(n) + 127));
}

// floor; `v` fits 32 bits.
inline int32_t FloorOf(double v) {
  const int32_t truncated = static_cast<int32_t>(v);
  return truncated - (static_cast<double>(truncated) > v);
}

// Standard normal numbers, cut off where `reach` says.  The tail's polynomial is seldom needed.
inline void DrawBlock(WordKey key, const uint32_t* index, const float* reach, int count, float* __restrict z) {
  float x[kNormals], w[kNormals], p[kNormals];
  int32_t any_tail = 0;
  for (int i = 0; i < count; ++i) {
    const int32_t odd = static_cast<int32_t>(WordAt(key, index[i]) >> 8) * 2 + (1 - (1 << 24));
    x[i] = static_cast<float>(odd) * 0x1p-24f * reach[i];
    w[i] = -Logarithm((1.f - x[i]) * (1.f + x[i]));
    p[i] = Polynomial(w[i] - 2.5f, kCentre);
    any_tail |= w[i] >= kTailStart;
  }
  if (any_tail) {
    for (int i = 0; i < count; ++i) {
      const float tail = Polynomial(__builtin_sqrtf(w[i] > 0.f ? w[i] : 0.f) - 3.f, kTail);
      p[i] = w[i] < kTailStart ? p[i] : tail;
    }
  }
  for (int i = 0; i < count; ++i) z[i] = p[i] * x[i] * static_cast<float>(1.4142135623730951);
}

void DrawNormals(WordKey key, const uint32_t* index, const float* reach, int count, float* z) {
  for (int done = 0; done < count; done += kNormals) {
    const int size = count - done < kNormals ? count - done : kNormals;
    DrawBlock(key, index + done, reach + done, size, z + done);
  }
}

void DrawEvents(WordKey key, WordRange range, int count, uint8_t* hits) {
  for (int i = 0; i < count; ++i) hits[i] = Hits(range, WordAt(key, static_cast<uint32_t>(i)));
}

// Standard exponential numbers, for words 0 .. count - 1.
void DrawExponentials(WordKey key, int count, float* drawn) {
  for (int i = 0; i < count; ++i) {
    const uint32_t word = WordAt(key, static_cast<uint32_t>(i));
    drawn[i] = -Logarithm((static_cast<float>(static_cast<int32_t>(word >> 8)) + 0.5f) * 0x1p-24f);
  }
}

}  // namespace
}  // namespace rcompile
