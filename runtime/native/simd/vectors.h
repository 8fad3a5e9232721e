// Vectors of the CPU's width.  This header and the kernels are compiled once per instruction set, by a file that first
// defines RCOMPILE_VECTOR_BYTES; everything in them is in an unnamed namespace, so that the copies stay apart.
#pragma once

#include <cstdint>
#include <cstring>

namespace rcompile {
namespace {

constexpr int kVectorBytes = RCOMPILE_VECTOR_BYTES;

// Real holds twice the sum of a vote group's codes, and a half, exactly.
template <class T>
struct LaneTypes;
template <>
struct LaneTypes<uint8_t> {
  typedef uint8_t Vector __attribute__((vector_size(kVectorBytes)));
  typedef uint16_t Wide __attribute__((vector_size(kVectorBytes)));
  using WideLane = uint16_t;
  using SignedWideLane = int16_t;
  using Real = float;
};
template <>
struct LaneTypes<uint16_t> {
  typedef uint16_t Vector __attribute__((vector_size(kVectorBytes)));
  typedef uint32_t Wide __attribute__((vector_size(kVectorBytes)));
  using WideLane = uint32_t;
  using SignedWideLane = int32_t;
  using Real = float;
};
template <>
struct LaneTypes<uint32_t> {
  typedef uint32_t Vector __attribute__((vector_size(kVectorBytes)));
  typedef uint64_t Wide __attribute__((vector_size(kVectorBytes)));
  using WideLane = uint64_t;
  using SignedWideLane = int64_t;
  using Real = double;
};
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

}  // namespace
}  // namespace rcompile
