// Vectors of the CPU's width.  This header and the kernels are compiled once per instruction set, by a file that first
// defines RCOMPILE_VECTOR_BYTES; everything in them is in an unnamed namespace, so that the copies stay apart.
#pragma once

#include <cstdint>
#include <cstring>

namespace rcompile {
namespace {

constexpr int kVectorBytes = RCOMPILE_VECTOR_BYTES;

// Of unsigned lanes; Real holds twice the sum of a vote group's codes, and a half, exactly.
template <class T, class WideT, class SignedWideT, class RealT>
struct LaneTypesOf {
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  typedef WideT Wide __attribute__((vector_size(kVectorBytes)));
  using WideLane = WideT;
  using SignedWideLane = SignedWideT;
  using Real = RealT;
};
template <class T>
struct LaneTypes;
template <>
struct LaneTypes<uint8_t> : LaneTypesOf<uint8_t, uint16_t, int16_t, float> {};
template <>
struct LaneTypes<uint16_t> : LaneTypesOf<uint16_t, uint32_t, int32_t, float> {};
template <>
struct LaneTypes<uint32_t> : LaneTypesOf<uint32_t, uint64_t, int64_t, double> {};
template <class T>
using Vector = typename LaneTypes<T>::Vector;
template <class T>
constexpr int kLanesOf = kVectorBytes / sizeof(T);

template <class V>
inline V LoadVector(const void* from) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

template <class V>
inline void StoreVector(const V& v, void* to) {
  std::memcpy(to, &v, sizeof v);
}

// sorted[(count - 1) / 2] of each lane, as far as it takes to sort.
template <class V>
inline V LowerMedian(V* vectors, int count) {
  const int middle = (count - 1) / 2;
  for (int i = 0; i <= middle; ++i) {
    for (int j = i + 1; j < count; ++j) {
      const V low = vectors[i] < vectors[j] ? vectors[i] : vectors[j];
      vectors[j] = vectors[i] < vectors[j] ? vectors[j] : vectors[i];
      vectors[i] = low;
    }
  }
  return vectors[middle];
}

}  // namespace
}  // namespace rcompile
