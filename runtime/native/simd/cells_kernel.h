// What the cells of a tile hold on a die: faults, deviations, wires; runtime/die/cells.py operation by operation.
// Compiled as vectors.h.
#pragma once

#include "simd/cells.h"
#include "simd/randomness_kernel.h"

namespace rcompile {
namespace {

// Without levels between, which take a second hash.
FaultCount InjectFaults(const StuckHash& hash, int64_t cells, uint8_t top, const uint8_t* programmed, uint8_t* actual) {
  const WordKey key = hash.key;
  const uint32_t sa1_last = hash.sa1.last, sa0_first = hash.sa0.first;
  const uint8_t any_sa0 = hash.sa0.possible ? 255 : 0, any_sa1 = hash.sa1.possible ? 255 : 0;
  uint32_t sa0_count = 0, sa1_count = 0;  // a tile has at most 2^28 cells
  for (uint32_t i = 0; i < static_cast<uint32_t>(cells); ++i) {
    const uint32_t h = WordAt(key, i);
    const uint8_t sa1 = (h <= sa1_last ? 255 : 0) & any_sa1;
    const uint8_t sa0 = (h >= sa0_first ? 255 : 0) & any_sa0;
    actual[i] = static_cast<uint8_t>((programmed[i] & ~(sa0 | sa1)) | (top & sa1));
    sa0_count += sa0 & 1;
    sa1_count += sa1 & 1;
  }
  return {sa0_count, sa1_count, 0};
}

void StuckCodes(const StuckHash& hash, uint32_t first, int64_t cells, uint8_t top, uint8_t* codes) {
  const StuckHash h = hash;  // a copy, which no store can change
  const uint8_t sa1_code = static_cast<uint8_t>(1 + top);
  for (uint32_t i = 0; i < static_cast<uint32_t>(cells); ++i) {
    const uint32_t word = WordAt(h.key, first + i);
    const uint8_t sa0 = Hits(h.sa0, word) ? 1 : 0;
    codes[i] = Hits(h.sa1, word) ? sa1_code : sa0;
  }
  if (!h.between.possible) return;
  for (uint32_t i = 0; i < static_cast<uint32_t>(cells); ++i) {
    const uint64_t drawn = WordAt(h.level_key, first + i);
    const uint8_t code = static_cast<uint8_t>(2 + (drawn * (top - 1u) >> 32));
    codes[i] = Hits(h.between, WordAt(h.key, first + i)) ? code : codes[i];
  }
}

FaultCount ApplyFaults(const uint8_t* codes, int64_t cells, uint8_t top, const uint8_t* programmed, uint8_t* actual) {
  const uint8_t sa1_code = static_cast<uint8_t>(1 + top);
  uint32_t sa0 = 0, sa1 = 0, good = 0;
  for (int64_t i = 0; i < cells; ++i) {
    const uint8_t is_good = codes[i] == 0 ? 255 : 0;
    actual[i] = static_cast<uint8_t>((programmed[i] & is_good) | ((codes[i] - 1) & ~is_good));
    good += is_good & 1;
  }
  for (int64_t i = 0; i < cells; ++i) {
    sa0 += codes[i] == 1;
    sa1 += codes[i] == sa1_code;
  }
  return {sa0, sa1, cells - good - sa0 - sa1};
}

constexpr int kChunk = 256;  // cells at once

// Of a chunk of cells.
struct ChunkTables {
  alignas(64) float base[kChunk];
  alignas(64) float mean[kChunk];
  alignas(64) float sigma[kChunk];
  alignas(64) float reach[kChunk];
  alignas(64) float spread[kChunk];
};

// What the tables say of each cell.  The levels are few: comparing with each is faster than a gather.
template <int kLevels>
void LookUp(const CellTables& t, const int32_t* levels, ChunkTables* chunk) {
  for (int i = 0; i < kChunk; i += kWordLanes) {
    const Ints level = LoadVector<Ints>(levels + i);
    Floats base = Floats{} + t.base[0], mean = Floats{} + t.mean[0], sigma = Floats{} + t.sigma[0];
    Floats reach = Floats{} + t.reach[0], spread = Floats{} + t.spread[0];
#pragma GCC unroll 16
    for (int l = 1; l < kLevels; ++l) {
      base = level == l ? Floats{} + t.base[l] : base;
      mean = level == l ? Floats{} + t.mean[l] : mean;
      sigma = level == l ? Floats{} + t.sigma[l] : sigma;
      reach = level == l ? Floats{} + t.reach[l] : reach;
      spread = level == l ? Floats{} + t.spread[l] : spread;
    }
    StoreVector(base, chunk->base + i);
    StoreVector(mean, chunk->mean + i);
    StoreVector(sigma, chunk->sigma + i);
    StoreVector(reach, chunk->reach + i);
    StoreVector(spread, chunk->spread + i);
  }
}

// Conductances of a chunk of cells but for their bases, in place of their means.
void Deviate(const CellTables& t, const CellKeys& keys, const uint32_t* index, ChunkTables* chunk) {
  alignas(64) float z[kChunk];
  if (t.has_sigma) DrawNormals(keys.programming, index, chunk->reach, kChunk, z);
  for (int i = 0; i < kChunk; i += kWordLanes) {
    Floats g = LoadVector<Floats>(chunk->mean + i);
    if (t.has_sigma) g = g + LoadVector<Floats>(chunk->sigma + i) * LoadVector<Floats>(z + i);
    StoreVector(g > 0.f ? g : Floats{}, chunk->mean + i);
  }
  if (!t.has_spread) return;
  for (float& reach : chunk->reach) reach = 1;
  DrawNormals(keys.spread, index, chunk->reach, kChunk, z);
  for (int i = 0; i < kChunk; i += kWordLanes) {
    const Floats factor = Exponential(LoadVector<Floats>(chunk->spread + i) * LoadVector<Floats>(z + i));
    StoreVector(LoadVector<Floats>(chunk->mean + i) * factor, chunk->mean + i);
  }
}

// Units of the grid.
void PutOnGrid(const float* conductance, double hrs_levels, int32_t* units) {
  for (int i = 0; i < kChunk; i += kDoubleLanes) {
    const Doubles g = __builtin_convertvector(LoadVector<HalfFloats>(conductance + i), Doubles);
    Doubles rounded = (g - hrs_levels) * kGrid + 0.5;
    rounded = rounded < 32767. ? rounded : Doubles{} + 32767.;
    rounded = rounded > -32768. ? rounded : Doubles{} - 32768.;
    StoreVector(__builtin_convertvector(FloorOf(rounded), HalfInts), units + i);
  }
}

template <int kLevels>
void AnalogChunks(const CellTables& tables, const CellKeys& keys, int64_t cells, const uint8_t* programmed,
                  const uint8_t* codes, int16_t* levels) {
  const CellTables t = tables;  // a copy, which no store can change
  alignas(64) uint32_t index[kChunk];
  alignas(64) int32_t numbers[kChunk], units[kChunk];
  ChunkTables chunk;
  for (int64_t first = 0; first < cells; first += kChunk) {
    const int count = cells - first < kChunk ? static_cast<int>(cells - first) : kChunk;
    for (int i = 0; i < kChunk; ++i) index[i] = static_cast<uint32_t>(first) + static_cast<uint32_t>(i);
    for (int i = 0; i < count; ++i) numbers[i] = programmed[first + i];
    for (int i = count; i < kChunk; ++i) numbers[i] = 0;
    LookUp<kLevels>(t, numbers, &chunk);
    Deviate(t, keys, index, &chunk);
    for (int i = 0; t.has_base && i < kChunk; ++i) chunk.mean[i] += chunk.base[i];
    PutOnGrid(chunk.mean, t.hrs_levels, units);
    if (codes != nullptr) {
      for (int i = 0; i < count; ++i) numbers[i] = codes[first + i];
      for (int i = 0; i < kChunk; i += kWordLanes) {
        const Ints code = LoadVector<Ints>(numbers + i);
        StoreVector(code > 0 ? (code - 1) * kGrid : LoadVector<Ints>(units + i), units + i);
      }
    }
    for (int i = 0; i < count; ++i) levels[first + i] = static_cast<int16_t>(units[i]);
  }
}

void AnalogLevels(const CellTables& tables, const CellKeys& keys, int64_t cells, const uint8_t* programmed,
                  const uint8_t* codes, int16_t* levels) {
  switch (tables.levels) {
    case 2: return AnalogChunks<2>(tables, keys, cells, programmed, codes, levels);
    case 4: return AnalogChunks<4>(tables, keys, cells, programmed, codes, levels);
    case 8: return AnalogChunks<8>(tables, keys, cells, programmed, codes, levels);
    default: return AnalogChunks<16>(tables, keys, cells, programmed, codes, levels);
  }
}

// The sums along both wires, row by row from the foot up.  Doubles hold them exactly: at most 2^53.
void SeeThrough(const Wires& wires, int16_t* levels, double* scratch) {
  const int64_t rows = wires.rows, cols = wires.cols;
  const double leak = wires.leak, wordline_drop = wires.wordline_drop, bitline_drop = wires.bitline_drop;
  const int32_t lowest = wires.leak - 32768;
  double* __restrict along_wordline = scratch;
  double* __restrict above = scratch + cols;  // currents of the row at hand and of those above it
  double* __restrict along_bitline = above + cols;
  for (int64_t c = 0; c < 2 * cols; ++c) above[c] = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) above[c] += levels[r * cols + c] + leak;
  }
  for (int64_t r = rows - 1; r >= 0; --r) {
    int16_t* __restrict row = levels + r * cols;
    int64_t beyond = 0, sum = 0;
    for (int64_t c = 0; c < cols; ++c) beyond += row[c] + wires.leak;
    for (int64_t c = 0; c < cols; ++c) {
      sum += beyond;
      along_wordline[c] = static_cast<double>(sum);
      beyond -= row[c] + wires.leak;
    }
    for (int64_t c = 0; c < cols; ++c) {
      const double g = row[c] + leak;  // never negative
      along_bitline[c] += above[c];
      above[c] -= g;
      const double loss = (wordline_drop * along_wordline[c] + bitline_drop * along_bitline[c]) / kGrid;
      const int32_t seen = static_cast<int32_t>(g / (1 + loss) + 0.5);
      row[c] = static_cast<int16_t>((seen > lowest ? seen : lowest) - wires.leak);
    }
  }
}

void ReadBack(const int16_t* analog, int64_t cells, uint8_t top, uint8_t* levels) {
  for (int64_t i = 0; i < cells; ++i) {
    const int32_t nearest = (analog[i] + kGrid / 2) >> 10;
    const int32_t found = nearest < top ? nearest : top;
    levels[i] = static_cast<uint8_t>(found > 0 ? found : 0);
  }
}

constexpr CellKernels kCellKernels = {
    InjectFaults, StuckCodes, ApplyFaults,      AnalogLevels, SeeThrough,
    ReadBack,     DrawEvents, DrawExponentials, DrawNormals,
};

}  // namespace
}  // namespace rcompile
