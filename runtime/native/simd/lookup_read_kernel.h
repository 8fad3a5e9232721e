// One operation unit, read bitline after bitline; the lanes of a vector are reads, each of one row of x and one bit
// plane.  The level sums of a few wordlines, by the pattern of their input bits, are a table that fits a register: one
// permutation looks them up for a whole vector of reads.  Compiled as vectors.h; `Isa` gives
//   AddSaturated(a, b): sums of bytes;
//   kWordlines: wordlines of a table;
//   Table(levels): the table, from packed levels;
//   LookUp(table, patterns);
//   Dot(values, weights): sums of four unsigned lanes times their signed weights.
//
// Bounds: a table holds at most 6 * 3, so that kChunkWordlines of them add up in a byte.
#pragma once

#include "simd/kernels.h"
#include "simd/vectors.h"

namespace rcompile {
namespace {

constexpr int kChunkWordlines = 84;
constexpr int kVbmiWordlines = 6;
typedef int32_t LaneCodes __attribute__((vector_size(kVectorBytes)));

// sums[levels][pattern] of four wordlines, their levels two bits each.
struct QuadSums {
  alignas(16) uint8_t sums[256][16];
};
constexpr QuadSums MakeQuadSums() {
  QuadSums table{};
  for (int levels = 0; levels < 256; ++levels) {
    for (int pattern = 0; pattern < 16; ++pattern) {
      int sum = 0;
      for (int i = 0; i < 4; ++i) sum += (pattern >> i & 1) * (levels >> 2 * i & 3);
      table.sums[levels][pattern] = static_cast<uint8_t>(sum);
    }
  }
  return table;
}
constexpr QuadSums kQuadSums = MakeQuadSums();

// Adds what a bitline's reads contribute.
template <class Isa, int kVectors>
inline __attribute__((always_inline)) void AddReads(const LookupRead& read, int bitline, int64_t lane,
                                                    const Vector<uint8_t>* sums) {
  const LaneCodes weight = LaneCodes{} + read.weight[bitline];
  const Vector<uint8_t> plane_weight = LoadVector<Vector<uint8_t>>(read.plane_weight);
  const int64_t limit_step = read.limit_stride * kVectorBytes;
  const uint8_t* limit = read.limit + lane * read.limit_stride;
  int32_t* codes = read.codes + read.column[bitline] * read.codes_stride + lane / 4;
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v, limit += limit_step, codes += kVectorBytes / 4) {
    const Vector<uint8_t> limits = LoadVector<Vector<uint8_t>>(limit);
    const Vector<uint8_t> clipped = sums[v] < limits ? sums[v] : limits;
    const LaneCodes sum = LoadVector<LaneCodes>(codes) + Isa::Dot(clipped, plane_weight) * weight;
    std::memcpy(codes, &sum, sizeof sum);
  }
}

// The sums of a chunk of wordlines on a pair of bitlines, which share the loaded patterns.  The loops over vectors must
// be unrolled early, or the sums would live in memory.
template <class Isa, int kVectors>
inline __attribute__((always_inline)) void SumChunk(const uint8_t* levels, int64_t bitline_stride, const uint8_t* x,
                                                    int64_t x_stride, int groups, Vector<uint8_t>* first,
                                                    Vector<uint8_t>* second) {
  constexpr int kPacked = PackedLevels(Isa::kWordlines);
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) first[v] = second[v] = Vector<uint8_t>{};
  for (int group = 0; group < groups; ++group, levels += kPacked, x += x_stride) {
    const Vector<uint8_t> first_table = Isa::Table(levels);
    const Vector<uint8_t> second_table = Isa::Table(levels + bitline_stride);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      Vector<uint8_t> patterns = LoadVector<Vector<uint8_t>>(x + v * kVectorBytes);
      asm("" : "+v"(patterns));  // GCC would load them twice
      first[v] += Isa::LookUp(first_table, patterns);
      second[v] += Isa::LookUp(second_table, patterns);
    }
  }
}

template <class Isa, int kVectors>
void ReadPair(const LookupRead& read, int bitline, int64_t lane) {
  constexpr int kChunk = kChunkWordlines / Isa::kWordlines, kPacked = PackedLevels(Isa::kWordlines);
  const auto sum_chunk = [&](int begin, Vector<uint8_t>* first, Vector<uint8_t>* second)
                             __attribute__((always_inline)) {
                               const int left = read.groups - begin;
                               SumChunk<Isa, kVectors>(read.levels + bitline * read.bitline_stride + begin * kPacked,
                                                       read.bitline_stride, read.x + begin * read.x_stride + lane,
                                                       read.x_stride, left < kChunk ? left : kChunk, first, second);
                             };
  Vector<uint8_t> first[kVectors], second[kVectors];
  sum_chunk(0, first, second);
  for (int begin = kChunk; begin < read.groups; begin += kChunk) {
    Vector<uint8_t> more_first[kVectors], more_second[kVectors];
    sum_chunk(begin, more_first, more_second);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      first[v] = Isa::AddSaturated(first[v], more_first[v]);
      second[v] = Isa::AddSaturated(second[v], more_second[v]);
    }
  }
  AddReads<Isa, kVectors>(read, bitline, lane, first);
  AddReads<Isa, kVectors>(read, bitline + 1, lane, second);
}

template <class Isa>
void ReadLookup(const LookupRead& read) {
  constexpr int kMost = kVectorBytes / 8;  // half of the registers hold sums
  for (int bitline = 0; bitline < read.bitlines; bitline += 2) {
    int64_t lane = 0;
    const auto left = [&] { return (read.lanes - lane) / kVectorBytes; };
    for (; left() >= kMost; lane += kMost * kVectorBytes) ReadPair<Isa, kMost>(read, bitline, lane);
    for (; left() >= 2; lane += 2 * kVectorBytes) ReadPair<Isa, 2>(read, bitline, lane);
    if (left() > 0) ReadPair<Isa, 1>(read, bitline, lane);
  }
}

}  // namespace
}  // namespace rcompile
