// One operation unit, read on a vector of vote groups: the sums of all replicas first, then one voted code a read.
// Compiled as whole_read_kernel.h, whose bounds hold here.
#pragma once

#include "simd/whole_read_kernel.h"

namespace rcompile {
namespace {

constexpr int kHeldSums = 1024;  // vectors; with the table, they fit the second level cache

// floor(sum / replicas + 1/2) = floor((2 * sum + replicas) / (2 * replicas)).  The extra half keeps the quotient 1/60
// or more away from the integers, which is more than it can be wrong: by 2^-7 in float32, for codes below 2^16.
template <class Real>
inline Real Mean(Real sum, int replicas) {
  return (2 * sum + static_cast<Real>(replicas) + Real(0.5)) * (Real(0.5) / static_cast<Real>(replicas));
}

template <class T>
void AddMean(const WholeRead& read, const Vector<T>* sums, int population, int plane, LimitedCodes<T, false>* codes) {
  using Real = typename LaneTypes<T>::Real;
  const Vector<T> limit = Vector<T>{} + static_cast<T>(read.limit[population]);
  int32_t total[kLanesOf<T>] = {};  // 15 sums of at most 4096 * 255
  for (int r = 0; r < read.replicas; ++r) {
    const Vector<T> clipped = sums[r] < limit ? sums[r] : limit;
    T lanes[kLanesOf<T>];
    std::memcpy(lanes, &clipped, sizeof lanes);
    for (int i = 0; i < kLanesOf<T>; ++i) total[i] += static_cast<int32_t>(lanes[i]);
  }
  T mean[kLanesOf<T>];
  for (int i = 0; i < kLanesOf<T>; ++i) {
    mean[i] = static_cast<T>(static_cast<int32_t>(Mean(static_cast<Real>(total[i]), read.replicas)));
  }
  Vector<T> code;
  std::memcpy(&code, mean, sizeof code);
  codes->Add(read, code, population, plane);
}

template <class T>
void AddMean(const WholeRead& read, const Vector<T>* sums, int population, int plane, SteppedCodes<T>* codes) {
  const double leak = read.leak[population];
  const Converter converter = read.converter;
  const int64_t weight = read.inputs.plane_weight[plane];
  int64_t total[kLanesOf<T>] = {};
  for (int r = 0; r < read.replicas; ++r) {
    T lanes[kLanesOf<T>];
    std::memcpy(lanes, sums + r, sizeof lanes);
    for (int i = 0; i < kLanesOf<T>; ++i) total[i] += SteppedCodes<T>::CodeOf(lanes[i], leak, converter);
  }
  for (int i = 0; i < kLanesOf<T>; ++i) {
    codes->CodeAt(i) += weight * static_cast<int64_t>(Mean(static_cast<double>(total[i]), read.replicas));
  }
}

template <class Isa, class T, class Codes>
void ReadVotedUnit(const WholeRead& read) {
  alignas(kVectorBytes) Vector<T> sums[kHeldSums];  // [replica][row][plane]
  const int most_rows = kHeldSums / (kMaxPlanes * read.replicas);
  for (int done = 0; done < read.inputs.rows; done += most_rows) {
    const DrivenInputs inputs = RowsOf(read.inputs, done, most_rows);
    const int stride = inputs.rows * kMaxPlanes;
    for (int r = 0; r < read.replicas; ++r) {
      const uint8_t* levels = read.levels + r * read.replica_stride;
      for (int first = 0; first < inputs.wordlines; first += kSegment) {
        SumSegment<Isa, T>(inputs, levels, first, sums + r * stride);
      }
    }
    for (int row = 0; row < inputs.rows; ++row) {
      const uint16_t* populations = inputs.populations + row * inputs.populations_stride;
      Codes codes;
      for (unsigned planes = inputs.planes[row * inputs.planes_stride]; planes != 0; planes &= planes - 1) {
        const int plane = __builtin_ctz(planes);
        Vector<T> voters[kMaxReplicas];
        for (int r = 0; r < read.replicas; ++r) voters[r] = sums[r * stride + row * kMaxPlanes + plane];
        if (read.vote == Vote::kMedian) {
          // A code does not fall where its sum rises, so that the median of the codes is the code of the median.
          codes.Add(read, LowerMedian(voters, read.replicas), populations[plane], plane);
        } else {
          AddMean<T>(read, voters, populations[plane], plane, &codes);
        }
      }
      codes.Store(read, read.codes + (done + row) * read.codes_stride);
    }
  }
}

template <class Isa, class T>
void ReadVotedLanes(const WholeRead& read) {
  if (read.kind == ReadKind::kStepped) return ReadVotedUnit<Isa, T, SteppedCodes<T>>(read);
  ReadVotedUnit<Isa, T, LimitedCodes<T, false>>(read);
}

template <class Isa>
void ReadVoted(const WholeRead& read) {
  switch (read.lane_bytes) {
    case 1: return ReadVotedUnit<Isa, uint8_t, LimitedCodes<uint8_t, false>>(read);
    case 2: return ReadVotedLanes<Isa, uint16_t>(read);
    default: return ReadVotedLanes<Isa, uint32_t>(read);
  }
}

}  // namespace
}  // namespace rcompile
