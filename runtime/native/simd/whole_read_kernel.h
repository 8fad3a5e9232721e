// One operation unit, read bit plane by bit plane on a vector of bitlines.  Four wordlines have 16 patterns of input
// bits; a table holds the level sums of each pattern, so that four wordlines of all bitlines cost one look-up and one
// addition.  Compiled as vectors.h; `Isa` adds bytes with saturation.
//
// Bounds: a byte sum saturates at 255, which no limit exceeds, and its weighted sum over the planes fits 16 bits.
// Wider sums are exact: at most 65535 in two bytes, 4096 * 255 in four, times 255 for the planes.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd/kernels.h"
#include "simd/vectors.h"

namespace rcompile {
namespace {

constexpr int kPatterns = 16;
constexpr int kSegment = 128;  // wordlines whose tables fit the first level cache
constexpr int kSegmentGroups = kSegment / 4;
constexpr int kMaxReadRows = 64;

template <class Isa, class T>
inline __attribute__((always_inline)) Vector<T> AddLanes(const Vector<T>& a, const Vector<T>& b) {
  if constexpr (sizeof(T) == 1) {
    return Isa::AddSaturated(a, b);
  } else {
    return a + b;
  }
}

template <class T>
Vector<T> LoadLevels(const uint8_t* levels) {
  Vector<T> v;
  for (int i = 0; i < kLanesOf<T>; ++i) v[i] = levels[i];
  return v;
}
template <>
Vector<uint8_t> LoadLevels<uint8_t>(const uint8_t* levels) {
  return LoadVector<Vector<uint8_t>>(levels);
}

// table[group][pattern]: sum of the levels of the group's wordlines whose bit is set.
template <class Isa, class T>
void BuildTable(const uint8_t* levels, int wordlines, Vector<T>* table) {
  for (int first = 0; first < wordlines; first += 4, table += kPatterns) {
    Vector<T> pattern[kPatterns];
    pattern[0] = Vector<T>{};
#pragma GCC unroll 4
    for (int bit = 0; bit < 4; ++bit) {
      Vector<T> level = {};
      if (first + bit < wordlines) level = LoadLevels<T>(levels + static_cast<int64_t>(first + bit) * kLanesOf<T>);
#pragma GCC unroll 8
      for (int i = 0; i < 1 << bit; ++i) pattern[(1 << bit) + i] = AddLanes<Isa, T>(pattern[i], level);
    }
    std::memcpy(table, pattern, sizeof pattern);
  }
}

// Sum of levels over the wordlines whose bit is set; `x` holds the patterns, times kPatternScale.
template <class Isa, class T>
inline __attribute__((always_inline)) Vector<T> SumLevels(const uint8_t* x, int groups, const Vector<T>* table,
                                                          Vector<T> sum) {
  constexpr int kStep = kVectorBytes / kPatternScale;  // the CPU multiplies by this while it addresses
  const auto entry = [](const Vector<T>* group, uint8_t pattern) __attribute__((always_inline)) {
    return *reinterpret_cast<const Vector<T>*>(reinterpret_cast<const char*>(group) + size_t{pattern} * kStep);
  };
  Vector<T> other = {};  // a second chain of additions
  for (; groups >= 16; groups -= 16, x += 16, table += 16 * kPatterns) {
#pragma GCC unroll 8
    for (int g = 0; g < 16; g += 2) {
      sum = AddLanes<Isa, T>(sum, entry(table + g * kPatterns, x[g]));
      other = AddLanes<Isa, T>(other, entry(table + (g + 1) * kPatterns, x[g + 1]));
    }
  }
  for (int g = 0; g < groups; ++g) sum = AddLanes<Isa, T>(sum, entry(table + g * kPatterns, x[g]));
  return AddLanes<Isa, T>(sum, other);
}

// Sum of the levels times the pulses of one plane, on top of `start`; `x` holds its patterns.
template <class Isa, class T>
inline __attribute__((always_inline)) Vector<T> SumPlane(const DrivenInputs& inputs, const uint8_t* x, int groups,
                                                         const Vector<T>* table, const Vector<T>& start) {
  Vector<T> sum = {};
  for (int bit = inputs.dac_bits - 1; bit > 0; --bit) {
    sum = SumLevels<Isa, T>(x + bit * inputs.x_bit_stride, groups, table, sum);
    sum = AddLanes<Isa, T>(sum, sum);
  }
  return SumLevels<Isa, T>(x, groups, table, AddLanes<Isa, T>(sum, start));
}

// sums[row][plane], of the wordlines from `first` on, kSegment at most; added to those of the segments before it.
template <class Isa, class T>
void SumSegment(const DrivenInputs& inputs, const uint8_t* levels, int first, Vector<T>* sums) {
  const int64_t plane_stride = inputs.dac_bits * inputs.x_bit_stride;
  const int left = inputs.wordlines - first, wordlines = left < kSegment ? left : kSegment;
  alignas(kVectorBytes) Vector<T> table[kSegmentGroups * kPatterns];
  BuildTable<Isa, T>(levels + static_cast<int64_t>(first) * kLanesOf<T>, wordlines, table);
  for (int row = 0; row < inputs.rows; ++row) {
    const uint8_t* x = inputs.x + row * inputs.x_stride + first / 4;
    for (unsigned planes = inputs.planes[row * inputs.planes_stride]; planes != 0; planes &= planes - 1) {
      const int plane = __builtin_ctz(planes);
      Vector<T>& sum = sums[row * kMaxPlanes + plane];
      const Vector<T> start = first > 0 ? sum : Vector<T>{};
      sum = SumPlane<Isa, T>(inputs, x + plane * plane_stride, (wordlines + 3) / 4, table, start);
    }
  }
}

// Of the rows from `first` on, `most` at most.
inline DrivenInputs RowsOf(DrivenInputs inputs, int first, int most) {
  inputs.x += first * inputs.x_stride;
  inputs.planes += first * inputs.planes_stride;
  inputs.populations += first * inputs.populations_stride;
  inputs.rows = inputs.rows - first < most ? inputs.rows - first : most;
  return inputs;
}

// Weighted sum over the planes of min(sum, limit), or of the excess over it, in lanes twice as wide.
template <class T, bool kExcess>
struct LimitedCodes {
  using Wide = typename LaneTypes<T>::Wide;
  using WideLane = typename LaneTypes<T>::WideLane;
  Wide even = {};
  Wide odd = {};

  inline __attribute__((always_inline)) void Add(const WholeRead& read, const Vector<T>& sum, int population,
                                                 int plane) {
    const Vector<T> limit = Vector<T>{} + static_cast<T>(read.limit[population]);
    const Vector<T> clipped = sum < limit ? sum : limit;
    const Wide value = (Wide)(kExcess ? sum - clipped : clipped);
    const WideLane weight = static_cast<WideLane>(read.inputs.plane_weight[plane]);
    even += (value & static_cast<WideLane>(static_cast<T>(-1))) * weight;
    odd += (value >> (8 * sizeof(T))) * weight;
  }

  template <class Lane>
  inline __attribute__((always_inline)) void StoreAs(int64_t weight, int64_t* codes) const {
    constexpr int kHalf = kLanesOf<T> / 2;
    Lane lanes[2 * kHalf];
    std::memcpy(lanes, &even, sizeof even);
    std::memcpy(lanes + kHalf, &odd, sizeof odd);
    for (int i = 0; i < 2 * kHalf; ++i) codes[i] += weight * static_cast<int64_t>(lanes[i]);
  }
  inline __attribute__((always_inline)) void Store(const WholeRead& read, int64_t* codes) const {
    if (read.is_unsigned) {
      StoreAs<WideLane>(read.codes_weight, codes);
    } else {
      StoreAs<typename LaneTypes<T>::SignedWideLane>(read.codes_weight, codes);
    }
  }
};

template <class T>
struct SteppedCodes {
  static constexpr int kHalf = kLanesOf<T> / 2;
  int64_t code[2 * kHalf] = {};

  // Not negative, so that truncation is floor.
  static int64_t CodeOf(T sum, double leak, const Converter& converter) {
    const int64_t raw = static_cast<int64_t>((static_cast<double>(sum) + leak) / converter.step + 0.5);
    return raw < converter.code_max ? raw : converter.code_max;
  }
  int64_t& CodeAt(int lane) { return code[lane % 2 * kHalf + lane / 2]; }

  void Add(const WholeRead& read, const Vector<T>& sum, int population, int plane) {
    const double leak = read.leak[population];
    const Converter converter = read.converter;
    const int64_t weight = read.inputs.plane_weight[plane];
    T sums[2 * kHalf];
    std::memcpy(sums, &sum, sizeof sums);
    for (int i = 0; i < 2 * kHalf; ++i) CodeAt(i) += weight * CodeOf(sums[i], leak, converter);
  }
  void Store(const WholeRead& read, int64_t* codes) const {
    for (int i = 0; i < 2 * kHalf; ++i) codes[i] += read.codes_weight * code[i];
  }
};

template <class Isa, class T, class Codes>
void ReadUnit(const WholeRead& arguments) {
  const WholeRead read = arguments;  // a copy, which no store can change
  const DrivenInputs& inputs = read.inputs;
  const int64_t plane_stride = inputs.dac_bits * inputs.x_bit_stride;
  alignas(kVectorBytes) Vector<T> table[kSegmentGroups * kPatterns];
  alignas(kVectorBytes) Vector<T> partial[kMaxReadRows * kMaxPlanes];  // sums of the segments before the last
  int first = 0;
  for (; first + kSegment < inputs.wordlines; first += kSegment) {
    SumSegment<Isa, T>(inputs, read.levels, first, partial);
  }
  BuildTable<Isa, T>(read.levels + static_cast<int64_t>(first) * kLanesOf<T>, inputs.wordlines - first, table);
  const int groups = (inputs.wordlines - first + 3) / 4;
  for (int row = 0; row < inputs.rows; ++row) {
    const uint8_t* x = inputs.x + row * inputs.x_stride + first / 4;
    const uint16_t* populations = inputs.populations + row * inputs.populations_stride;
    Codes codes;
    for (unsigned planes = inputs.planes[row * inputs.planes_stride]; planes != 0; planes &= planes - 1) {
      const int plane = __builtin_ctz(planes);
      const Vector<T> start = first > 0 ? partial[row * kMaxPlanes + plane] : Vector<T>{};
      const Vector<T> sum = SumPlane<Isa, T>(inputs, x + plane * plane_stride, groups, table, start);
      codes.Add(read, sum, populations[plane], plane);
    }
    codes.Store(read, read.codes + row * read.codes_stride);
  }
}

template <class Isa, class T>
void ReadLanes(const WholeRead& read) {
  switch (read.kind) {
    case ReadKind::kClipped: return ReadUnit<Isa, T, LimitedCodes<T, false>>(read);
    case ReadKind::kExcess: return ReadUnit<Isa, T, LimitedCodes<T, true>>(read);
    case ReadKind::kStepped: return ReadUnit<Isa, T, SteppedCodes<T>>(read);
  }
}

template <class Isa>
void ReadWhole(const WholeRead& read) {
  switch (read.lane_bytes) {
    case 1: return ReadUnit<Isa, uint8_t, LimitedCodes<uint8_t, false>>(read);
    case 2: return ReadLanes<Isa, uint16_t>(read);
    default: return ReadLanes<Isa, uint32_t>(read);
  }
}

}  // namespace
}  // namespace rcompile
