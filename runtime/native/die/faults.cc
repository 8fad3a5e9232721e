#include "die/faults.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "die/randomness.h"

namespace rcompile {
namespace {

constexpr double kTwo32 = 4294967296.0;

// `density`: of the cell's block; the order of the products is the reference's.
uint64_t Threshold(double rate, double density) {
  return static_cast<uint64_t>(std::min(std::floor(rate * density * kTwo32), kTwo32));
}

StuckHash HashOf(const Die& die, int64_t crossbar, double density) {
  const uint64_t sa1 = Threshold(die.sa1, density), sa0 = Threshold(die.sa0, density);
  const uint64_t between = Threshold(die.sa1 + die.between, density);
  StuckHash hash;
  hash.key = Halves(CrossbarKey(die.seed, Purpose::kStuck, crossbar));
  hash.level_key = Halves(CrossbarKey(die.seed, Purpose::kBetween, crossbar));
  hash.sa1 = Below(sa1);
  hash.sa0 = {sa0 > 0, static_cast<uint32_t>((uint64_t{1} << 32) - sa0), UINT32_MAX};
  hash.between = {between > sa1, static_cast<uint32_t>(sa1), static_cast<uint32_t>(between - 1)};
  return hash;
}

// What the rates in each block of cells are multiplied by: gamma-distributed, bounded.
std::vector<double> BlockDensities(const Die& die, int64_t crossbar, int64_t blocks, const CellKernels& kernels) {
  const int alpha = die.cluster_alpha;
  std::vector<float> drawn(blocks * alpha);
  kernels.exponentials(Halves(CrossbarKey(die.seed, Purpose::kCluster, crossbar)), static_cast<int>(drawn.size()),
                       drawn.data());
  const double total_rate = die.sa0 + die.sa1 + die.between;
  const double cap = total_rate > 0 ? 1 / total_rate : 1;
  std::vector<double> densities(blocks);
  for (int64_t block = 0; block < blocks; ++block) {
    double total = 0;
    for (int j = 0; j < alpha; ++j) total += static_cast<double>(drawn[block * alpha + j]);
    densities[block] = std::min(total / alpha * die.cluster_scale, cap);
  }
  return densities;
}

void DrawClusters(const Die& die, int64_t crossbar, int64_t rows, int64_t cols, uint8_t top, const CellKernels& kernels,
                  uint8_t* codes) {
  const int64_t side = die.cluster_side, across = (cols + side - 1) / side;
  const std::vector<double> densities = BlockDensities(die, crossbar, (rows + side - 1) / side * across, kernels);
  std::vector<StuckHash> hashes(across);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t block = 0; block < across; ++block) {
      if (row % side == 0) hashes[block] = HashOf(die, crossbar, densities[row / side * across + block]);
      const int64_t first = row * cols + block * side;
      kernels.stuck_codes(hashes[block], static_cast<uint32_t>(first), std::min(side, cols - block * side), top,
                          codes + first);
    }
  }
}

// Their cells read as SA0, whatever else they are.
void BreakLines(const Die& die, int64_t crossbar, int64_t rows, int64_t cols, const CellKernels& kernels,
                uint8_t* codes) {
  constexpr uint8_t kSa0 = 1;
  std::vector<uint8_t> broken(std::max(rows, cols));
  const auto draw = [&](Purpose purpose, double rate, int64_t lines) {
    kernels.events(Halves(CrossbarKey(die.seed, purpose, crossbar)), Event(rate), static_cast<int>(lines),
                   broken.data());
  };
  draw(Purpose::kCrossbar, die.crossbar, 1);
  if (broken[0]) std::memset(codes, kSa0, rows * cols);
  draw(Purpose::kWordline, die.wordline, rows);
  for (int64_t row = 0; row < rows; ++row) {
    if (broken[row]) std::memset(codes + row * cols, kSa0, cols);
  }
  draw(Purpose::kBitline, die.bitline, cols);
  for (int64_t col = 0; col < cols; ++col) {
    if (!broken[col]) continue;
    for (int64_t row = 0; row < rows; ++row) codes[row * cols + col] = kSa0;
  }
}

int CodeAt(const FaultMap& map, int bits, int64_t cell) {
  return map[cell * bits / 8] >> (cell * bits % 8) & ((1 << bits) - 1);
}

}  // namespace

StuckHash MakeStuckHash(const Die& die, int64_t crossbar) { return HashOf(die, crossbar, 1); }

void DrawFaults(const Die& die, int64_t crossbar, int64_t rows, int64_t cols, uint8_t top, const CellKernels& kernels,
                uint8_t* codes) {
  if (die.cluster_side > 0) {
    DrawClusters(die, crossbar, rows, cols, top, kernels, codes);
  } else {
    kernels.stuck_codes(MakeStuckHash(die, crossbar), 0, rows * cols, top, codes);
  }
  if (die.has_lines()) BreakLines(die, crossbar, rows, cols, kernels, codes);
}

int FaultBits(int top) { return top + 1 < 4 ? 2 : top + 1 < 16 ? 4 : 8; }

FaultMap ParseFaultMap(std::string_view base64, int64_t cells, int top, const std::string& layer) {
  const std::string what = "fault map of layer '" + layer + "'";
  const int bits = FaultBits(top), share = 8 / bits;
  FaultMap map = DecodeBase64(base64, what);
  const size_t expected = static_cast<size_t>((cells + share - 1) / share);
  if (map.size() != expected) {
    throw Error(what + " has " + std::to_string(map.size()) + " bytes, not " + std::to_string(expected));
  }
  for (int64_t byte = 0; byte < static_cast<int64_t>(map.size()); ++byte) {
    if (map[byte] == 0) continue;  // most of them, at any rate worth mapping
    for (int64_t cell = byte * share; cell < (byte + 1) * share; ++cell) {
      const int code = CodeAt(map, bits, cell);
      if (code == 0) continue;
      if (cell >= cells) throw Error(what + " is not padded with 0");
      if (code <= 1 + top) continue;
      throw Error(what + " holds fault " + std::to_string(code) + " at cell " + std::to_string(cell));
    }
  }
  return map;
}

void UnpackFaults(const FaultMap& map, int top, int64_t first_cell, int64_t cells, uint8_t* codes) {
  const int bits = FaultBits(top), share = 8 / bits;
  std::memset(codes, 0, cells);
  const int64_t end = first_cell + cells;
  for (int64_t byte = first_cell / share; byte * share < end; ++byte) {
    if (map[byte] == 0) continue;
    for (int64_t cell = std::max(first_cell, byte * share); cell < std::min(end, (byte + 1) * share); ++cell) {
      codes[cell - first_cell] = static_cast<uint8_t>(CodeAt(map, bits, cell));
    }
  }
}

}  // namespace rcompile
