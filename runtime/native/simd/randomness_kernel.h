// Words and numbers of docs/hardware.md, "Random numbers": runtime/die/randomness.py operation by operation, each
// rounded by itself.  Compiled as vectors.h.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd/vectors.h"
#include "simd/words.h"

namespace rcompile {
namespace {

constexpr int kNormals = 64;  // drawn at once
typedef uint32_t Words __attribute__((vector_size(RCOMPILE_VECTOR_BYTES)));
typedef int32_t Ints __attribute__((vector_size(RCOMPILE_VECTOR_BYTES)));
typedef float Floats __attribute__((vector_size(RCOMPILE_VECTOR_BYTES)));
typedef double Doubles __attribute__((vector_size(RCOMPILE_VECTOR_BYTES)));
// As many as there are doubles in a vector.
typedef int32_t HalfInts __attribute__((vector_size(RCOMPILE_VECTOR_BYTES / 2)));
typedef float HalfFloats __attribute__((vector_size(RCOMPILE_VECTOR_BYTES / 2)));
constexpr int kWordLanes = RCOMPILE_VECTOR_BYTES / 4;
constexpr int kDoubleLanes = RCOMPILE_VECTOR_BYTES / 8;

// Of a word, or of a vector of words.
template <class Word>
inline __attribute__((always_inline)) Word Mix32(Word x) {
  x ^= x >> 16;
  x *= 0x7FEB352Du;
  x ^= x >> 15;
  x *= 0x846CA68Bu;
  return x ^ (x >> 16);
}

template <class Word>
inline __attribute__((always_inline)) Word WordAt(WordKey key, Word index) {
  return Mix32(Mix32(index ^ key.low) ^ key.high);
}

inline bool Hits(WordRange range, uint32_t word) {
  return range.possible & (word - range.first <= range.last - range.first);
}

template <int kCount>
inline __attribute__((always_inline)) Floats Polynomial(Floats x, const double (&coefficients)[kCount]) {
  Floats p = Floats{} + static_cast<float>(coefficients[0]);
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

inline __attribute__((always_inline)) Floats Logarithm(Floats y) {
  const Ints bits = (Ints)y;
  const Ints exponent = (bits - 0x3F3504F3) >> 23;
  const Floats m = (Floats)(bits - (exponent << 23));
  const Floats t = (m - 1.f) / (m + 1.f);
  return __builtin_convertvector(exponent, Floats) * static_cast<float>(0.6931471805599453) +
         (t + t) * Polynomial(t * t, kLogarithm);
}

inline __attribute__((always_inline)) Floats Exponential(Floats v) {
  constexpr float kRounder = 12582912.f;
  const Floats n = (v * static_cast<float>(1.4426950408889634) + kRounder) - kRounder;
  const Floats r = (v - n * static_cast<float>(0.693145751953125)) - n * static_cast<float>(1.428606765330187e-06);
  return Polynomial(r, kExponential) * (Floats)((__builtin_convertvector(n, Ints) + 127) << 23);
}

// floor; |v| < 2^31.
inline __attribute__((always_inline)) Doubles FloorOf(Doubles v) {
  constexpr double kRounder = 6755399441055744.;  // 1.5 * 2^52: adding it rounds to an integer
  const Doubles nearest = (v + kRounder) - kRounder;
  return nearest > v ? nearest - 1. : nearest;
}

// In the outer 0.34 % of the distribution another polynomial is right.
inline __attribute__((noinline)) void DrawTail(const float* x, const float* w, float* z) {
  float root[kNormals];
  for (int i = 0; i < kNormals; ++i) root[i] = w[i] > 0.f ? w[i] : 0.f;
  for (int i = 0; i < kNormals; ++i) root[i] = __builtin_sqrtf(root[i]);
  for (int i = 0; i < kNormals; i += kWordLanes) {
    const Floats tail = Polynomial(LoadVector<Floats>(root + i) - 3.f, kTail);
    const Floats normal = tail * LoadVector<Floats>(x + i) * static_cast<float>(1.4142135623730951);
    StoreVector(LoadVector<Floats>(w + i) < kTailStart ? LoadVector<Floats>(z + i) : normal, z + i);
  }
}

// Standard normal numbers, kNormals of them, cut off where `reach` says.
inline void DrawBlock(WordKey key, const uint32_t* index, const float* reach, float* z) {
  alignas(64) float x[kNormals], w[kNormals];
  Ints in_tail = {};
  for (int i = 0; i < kNormals; i += kWordLanes) {
    const Ints odd = (Ints)(WordAt(key, LoadVector<Words>(index + i)) >> 8) * 2 + (1 - (1 << 24));
    const Floats of_lane = __builtin_convertvector(odd, Floats) * 0x1p-24f * LoadVector<Floats>(reach + i);
    const Floats depth = -Logarithm((1.f - of_lane) * (1.f + of_lane));
    const Floats normal = Polynomial(depth - 2.5f, kCentre) * of_lane * static_cast<float>(1.4142135623730951);
    in_tail |= depth >= kTailStart;
    StoreVector(of_lane, x + i);
    StoreVector(depth, w + i);
    StoreVector(normal, z + i);
  }
  int32_t any = 0;
  for (int i = 0; i < kWordLanes; ++i) any |= in_tail[i];
  if (any != 0) DrawTail(x, w, z);
}

void DrawNormals(WordKey key, const uint32_t* index, const float* reach, int count, float* z) {
  int done = 0;
  for (; done + kNormals <= count; done += kNormals) DrawBlock(key, index + done, reach + done, z + done);
  if (done == count) return;
  uint32_t last_index[kNormals] = {};
  float last_reach[kNormals] = {}, last_z[kNormals];
  std::memcpy(last_index, index + done, sizeof *index * (count - done));
  std::memcpy(last_reach, reach + done, sizeof *reach * (count - done));
  DrawBlock(key, last_index, last_reach, last_z);
  std::memcpy(z + done, last_z, sizeof *z * (count - done));
}

void DrawEvents(WordKey key, WordRange range, int count, uint8_t* hits) {
  for (int i = 0; i < count; ++i) hits[i] = Hits(range, WordAt(key, static_cast<uint32_t>(i)));
}

// Standard exponential numbers, for words 0 .. count - 1.
void DrawExponentials(WordKey key, int count, float* drawn) {
  for (int first = 0; first < count; first += kWordLanes) {
    Words index;
    for (int i = 0; i < kWordLanes; ++i) index[i] = static_cast<uint32_t>(first + i);
    const Ints high = (Ints)(WordAt(key, index) >> 8);
    const Floats number = -Logarithm((__builtin_convertvector(high, Floats) + 0.5f) * 0x1p-24f);
    const int size = count - first < kWordLanes ? count - first : kWordLanes;
    std::memcpy(drawn + first, &number, sizeof *drawn * size);
  }
}

}  // namespace
}  // namespace rcompile
