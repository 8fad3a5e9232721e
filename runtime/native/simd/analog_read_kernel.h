// One operation unit, read on kAnalogLanes bitlines or vote groups whose levels are on the grid: sums of levels from
// tables of four wordlines' patterns, as in whole_read_kernel.h, then whatever lies between a current and its code.
// runtime/product/reference.py, _Read, has the same operations in the same order.  Compiled as vectors.h.
//
// Bounds, in units of the grid: a sum is at most 2^14 * 2^15 = 2^29 (die.cc), noise below 2^25 (die.cc has the ranges),
// and 32 bits hold both with the bias.  Codes are below 2^16; 255 for the planes times 128 for the digit keeps them
// below 2^31.
#pragma once

#include "simd/randomness_kernel.h"
#include "simd/whole_read_kernel.h"

namespace rcompile {
namespace {

constexpr int kPatternBytes = 64;                     // kAnalogLanes sums
constexpr int kGroupBytes = 16 * kPatternBytes;       // all patterns of four wordlines
constexpr int kAnalogSegment = 128;                   // wordlines whose tables fit the first level cache
constexpr int kHeldReads = 1024;                      // vectors of kAnalogLanes; with the table, they fit the second
constexpr int kMaxReads = kMaxPlanes * kAnalogLanes;  // of one row
// As many as there are words in a vector.
typedef int16_t Shorts __attribute__((vector_size(RCOMPILE_VECTOR_BYTES / 2)));

// The planes of one row that are read, and how many ones each drives.
struct DrivenPlanes {
  int count = 0;
  int plane[kMaxPlanes];
  int population[kMaxPlanes];

  DrivenPlanes(const DrivenInputs& inputs, int row) {
    for (unsigned planes = inputs.planes[row * inputs.planes_stride]; planes != 0; planes &= planes - 1) {
      plane[count] = __builtin_ctz(planes);
      population[count] = inputs.populations[row * inputs.populations_stride + plane[count]];
      ++count;
    }
  }
};

// table[group][pattern][lane]: sum of the levels of the group's wordlines whose bit is set.
void TabulatePatterns(const int16_t* levels, int wordlines, char* table) {
  for (int first = 0; first < wordlines; first += 4, table += kGroupBytes) {
    for (int lane = 0; lane < kAnalogLanes; lane += kWordLanes) {
      Ints pattern[16];
      pattern[0] = Ints{};
#pragma GCC unroll 4
      for (int bit = 0; bit < 4; ++bit) {
        Ints level = {};
        if (first + bit < wordlines) {
          level = __builtin_convertvector(LoadVector<Shorts>(levels + (first + bit) * kAnalogLanes + lane), Ints);
        }
#pragma GCC unroll 8
        for (int i = 0; i < 1 << bit; ++i) pattern[(1 << bit) + i] = pattern[i] + level;
      }
      for (int i = 0; i < 16; ++i) StoreVector(pattern[i], table + i * kPatternBytes + 4 * lane);
    }
  }
}

// `x`: patterns, times kPatternScale; `table`: from the first of kWordLanes lanes on.
inline __attribute__((always_inline)) Ints SumPatterns(const uint8_t* x, int groups, const char* table, Ints sum) {
  const auto entry = [](const char* group, uint8_t pattern) __attribute__((always_inline)) {
    return LoadVector<Ints>(group + size_t{pattern} * (kPatternBytes / kPatternScale));
  };
  Ints other = {};  // a second chain of additions
  for (; groups >= 8; groups -= 8, x += 8, table += 8 * kGroupBytes) {
#pragma GCC unroll 4
    for (int g = 0; g < 8; g += 2) {
      sum += entry(table + g * kGroupBytes, x[g]);
      other += entry(table + (g + 1) * kGroupBytes, x[g + 1]);
    }
  }
  for (int g = 0; g < groups; ++g) sum += entry(table + g * kGroupBytes, x[g]);
  return sum + other;
}

// sums[row][number of the driven plane][lane] of one replica.
void SumUnit(const DrivenInputs& inputs, const int16_t* levels, int32_t* sums) {
  alignas(64) char table[kAnalogSegment / 4 * kGroupBytes];
  for (int first = 0; first < inputs.wordlines; first += kAnalogSegment) {
    const int wordlines = inputs.wordlines - first < kAnalogSegment ? inputs.wordlines - first : kAnalogSegment;
    TabulatePatterns(levels + static_cast<int64_t>(first) * kAnalogLanes, wordlines, table);
    for (int row = 0; row < inputs.rows; ++row) {
      const uint8_t* x = inputs.x + row * inputs.x_stride + first / 4;
      int32_t* sum = sums + row * kMaxReads;
      for (unsigned planes = inputs.planes[row * inputs.planes_stride]; planes != 0; planes &= planes - 1) {
        const uint8_t* patterns = x + __builtin_ctz(planes) * inputs.dac_bits * inputs.x_bit_stride;
        for (int lane = 0; lane < kAnalogLanes; lane += kWordLanes, sum += kWordLanes) {
          Ints total = first > 0 ? LoadVector<Ints>(sum) : Ints{};
          total = SumPatterns(patterns, (wordlines + 3) / 4, table + 4 * lane, total);
          for (int bit = 1; bit < inputs.dac_bits; ++bit) {
            const uint8_t* of_bit = patterns + bit * inputs.x_bit_stride;
            total += SumPatterns(of_bit, (wordlines + 3) / 4, table + 4 * lane, Ints{}) * (1 << bit);
          }
          StoreVector(total, sum);
        }
      }
    }
  }
}

// The words of a row's reads: counters[number of the driven plane][lane].
void CountReads(const AnalogRead& read, const DrivenPlanes& driven, const uint32_t* bitline, uint32_t* counters) {
  for (int i = 0; i < driven.count; ++i) {
    const uint32_t first = read.first_counter + static_cast<uint32_t>(driven.plane[i]) * read.plane_counters;
    for (int lane = 0; lane < kAnalogLanes; ++lane) counters[i * kAnalogLanes + lane] = first + bitline[lane];
  }
}

// Noise in units of the grid, added to `sums`.
void AddNoise(const AnalogRead& read, const DrivenPlanes& driven, WordKey key, const uint32_t* counters,
              int32_t* noise) {
  alignas(64) float z[kMaxReads], whole[kMaxReads];
  for (float& reach : whole) reach = 1;
  DrawNormals(key, counters, whole, driven.count * kAnalogLanes, z);
  for (int i = 0; i < driven.count; ++i) {
    const double sigma = read.noise[driven.population[i]];
    for (int at = i * kAnalogLanes; at < (i + 1) * kAnalogLanes; at += kDoubleLanes) {
      const Doubles units = FloorOf(__builtin_convertvector(LoadVector<HalfFloats>(z + at), Doubles) * sigma + 0.5);
      StoreVector(__builtin_convertvector(units, HalfInts), noise + at);
    }
  }
}

// codes = min(max((sum + bias + noise) >> 10, 0), max)
void ConvertWhole(const AnalogRead& read, const DrivenPlanes& driven, const int32_t* noise, int32_t* sums) {
  const Ints most = Ints{} + static_cast<int32_t>(read.converter.code_max);
  for (int i = 0; i < driven.count; ++i) {
    const int32_t bias = read.bias[driven.population[i]];
    for (int at = i * kAnalogLanes; at < (i + 1) * kAnalogLanes; at += kWordLanes) {
      Ints code = LoadVector<Ints>(sums + at) + bias;
      if (noise != nullptr) code += LoadVector<Ints>(noise + at);
      code >>= 10;
      code = code < most ? code : most;
      StoreVector(code > 0 ? code : Ints{}, sums + at);
    }
  }
}

void ConvertAny(const AnalogRead& read, const DrivenPlanes& driven, int replica, const int32_t* noise, int32_t* sums) {
  const Doubles most = Doubles{} + static_cast<double>(read.converter.code_max);
  const double step = read.converter.step;
  for (int i = 0; i < driven.count; ++i) {
    const double leak = read.leak[driven.population[i]];
    for (int lane = 0; lane < kAnalogLanes; lane += kDoubleLanes) {
      const int at = i * kAnalogLanes + lane, of = replica * kAnalogLanes + lane;
      Doubles current = __builtin_convertvector(LoadVector<HalfInts>(sums + at), Doubles) * (1. / kGrid) + leak;
      current = current * LoadVector<Doubles>(read.gain + of) + LoadVector<Doubles>(read.offset + of);
      if (noise != nullptr) {
        current += __builtin_convertvector(LoadVector<HalfInts>(noise + at), Doubles) * (1. / kGrid);
      }
      if (step != 1) current /= step;
      Doubles code = current + 0.5;  // not negative from here on, so that truncation is floor
      code = code < most ? code : most;
      code = code > 0. ? code : Doubles{};
      StoreVector(__builtin_convertvector(code, HalfInts), sums + at);
    }
  }
}

void FlipCodes(const AnalogRead& read, const DrivenPlanes& driven, WordKey key, const uint32_t* counters,
               int32_t* codes) {
  const uint32_t last = read.flip.last;
  const int count = driven.count * kAnalogLanes;
  uint32_t struck = 0;
  for (int i = 0; i < count; ++i) struck |= WordAt(key, counters[i]) <= last ? 1 : 0;
  if (!struck) return;
  for (int i = 0; i < count; ++i) {
    if (WordAt(key, counters[i]) > last) continue;
    const uint64_t word = WordAt(key, counters[i] ^ 0x80000000u);
    codes[i] ^= 1 << (read.flip_bit < 0 ? static_cast<int>(word * read.adc_bits >> 32) : read.flip_bit);
  }
}

// From sums to codes, in place, of one replica and row.
void Convert(const AnalogRead& read, int row, const DrivenPlanes& driven, int replica, int32_t* sums) {
  alignas(64) uint32_t counters[kMaxReads];
  alignas(64) int32_t noise[kMaxReads];
  if (read.noise != nullptr || read.flip.possible) {
    CountReads(read, driven, read.bitline + replica * kAnalogLanes, counters);
  }
  if (read.noise != nullptr) AddNoise(read, driven, read.noise_keys[row], counters, noise);
  const int32_t* added = read.noise != nullptr ? noise : nullptr;
  switch (read.conversion) {
    case Conversion::kWhole: ConvertWhole(read, driven, added, sums); break;
    case Conversion::kAny: ConvertAny(read, driven, replica, added, sums); break;
    case Conversion::kNone:
      for (int i = 0; added != nullptr && i < driven.count * kAnalogLanes; ++i) sums[i] += added[i];
  }
  if (read.flip.possible) FlipCodes(read, driven, read.flip_keys[row], counters, sums);
}

// floor(sum / replicas + 1/2)
inline void MeanCode(const int32_t* codes, int64_t stride, int replicas, int32_t* mean) {
  for (int lane = 0; lane < kAnalogLanes; lane += kDoubleLanes) {
    Doubles total = {};
    for (int r = 0; r < replicas; ++r) {
      total += __builtin_convertvector(LoadVector<HalfInts>(codes + r * stride + lane), Doubles);
    }
    const Doubles rounded = FloorOf(total / static_cast<double>(replicas) + 0.5);
    StoreVector(__builtin_convertvector(rounded, HalfInts), mean + lane);
  }
}

// One code a read, in place of replica 0's; the next replica's codes are `stride` further on.
void TakeVote(const AnalogRead& read, const DrivenPlanes& driven, int64_t stride, int32_t* codes) {
  for (int i = 0; i < driven.count; ++i, codes += kAnalogLanes) {
    if (read.vote == Vote::kMean) {
      MeanCode(codes, stride, read.replicas, codes);
      continue;
    }
    for (int lane = 0; lane < kAnalogLanes; lane += kWordLanes) {
      Ints voters[kMaxReplicas];
      for (int r = 0; r < read.replicas; ++r) voters[r] = LoadVector<Ints>(codes + r * stride + lane);
      StoreVector(LowerMedian(voters, read.replicas), codes + lane);
    }
  }
}

// Weighted sums over the planes, to where each lane's output is.
void AddCodes(const AnalogRead& read, const DrivenPlanes& driven, const int32_t* codes, int64_t* target) {
  int64_t sums[kAnalogLanes];
  if (read.conversion == Conversion::kNone) {
    for (int lane = 0; lane < kAnalogLanes; lane += kDoubleLanes) {
      Doubles sum = {};  // below 2^44
      for (int i = 0; i < driven.count; ++i) {
        const double weight = read.inputs.plane_weight[driven.plane[i]];
        sum += __builtin_convertvector(LoadVector<HalfInts>(codes + i * kAnalogLanes + lane), Doubles) * weight;
      }
      for (int j = 0; j < kDoubleLanes; ++j) sums[lane + j] = static_cast<int64_t>(sum[j]) * read.weight[lane + j];
    }
  } else {
    alignas(64) int32_t weighted[kAnalogLanes];
    for (int lane = 0; lane < kAnalogLanes; lane += kWordLanes) {
      Ints sum = {};
      for (int i = 0; i < driven.count; ++i) {
        sum += LoadVector<Ints>(codes + i * kAnalogLanes + lane) * read.inputs.plane_weight[driven.plane[i]];
      }
      StoreVector(sum * LoadVector<Ints>(read.weight + lane), weighted + lane);
    }
    for (int lane = 0; lane < kAnalogLanes; ++lane) sums[lane] = weighted[lane];
  }
  if (read.is_run) {
    for (int lane = 0; lane < kAnalogLanes; ++lane) target[read.column[0] + lane] += sums[lane];
  } else {
    for (int lane = 0; lane < kAnalogLanes; ++lane) target[read.column[lane]] += sums[lane];
  }
}

void ReadAnalog(const AnalogRead& read) {
  alignas(64) int32_t sums[kHeldReads * kAnalogLanes];  // [replica][row][plane][lane]
  const int most_rows = kHeldReads / (kMaxPlanes * read.replicas);
  for (int done = 0; done < read.inputs.rows; done += most_rows) {
    const DrivenInputs inputs = RowsOf(read.inputs, done, most_rows);
    const int64_t stride = int64_t{inputs.rows} * kMaxReads;
    for (int r = 0; r < read.replicas; ++r) {
      SumUnit(inputs, read.levels + r * read.replica_stride, sums + r * stride);
    }
    for (int row = 0; row < inputs.rows; ++row) {
      const DrivenPlanes driven(inputs, row);
      int32_t* of_row = sums + row * kMaxReads;
      for (int r = 0; r < read.replicas; ++r) Convert(read, done + row, driven, r, of_row + r * stride);
      if (read.replicas > 1) TakeVote(read, driven, stride, of_row);
      AddCodes(read, driven, of_row, read.codes + (done + row) * kPanelWidth);
    }
  }
}

}  // namespace
}  // namespace rcompile
