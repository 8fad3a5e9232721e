// The levels of a layer: one byte a cell, or several cells in a byte.
#include <cstring>
#include <string>
#include <vector>

#include "layer/layer.h"

namespace rcompile {
namespace {

typedef uint8_t Bytes __attribute__((vector_size(16)));

// Parts of kHeld bits, split in two again and again until each is one cell.
template <int kBits, int kHeld = 8>
void Spread(Bytes parts, uint8_t* levels) {
  if constexpr (kHeld == kBits) {
    std::memcpy(levels, &parts, sizeof parts);
  } else {
    constexpr int kHalf = kHeld / 2;
    constexpr uint8_t kMask = (1 << kHalf) - 1;
    const Bytes a = parts & kMask, b = parts >> kHalf;
    const Bytes first = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const Bytes second = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    Spread<kBits, kHalf>(first, levels);
    Spread<kBits, kHalf>(second, levels + sizeof parts * kHalf / kBits);
  }
}

// Cells of kBits each, the first in the low bits.
template <int kBits>
void Unpack(const uint8_t* packed, int64_t cells, uint8_t* levels) {
  constexpr int kCells = 8 * sizeof(Bytes) / kBits;
  Bytes parts = {};
  for (; cells >= kCells; cells -= kCells, packed += sizeof parts, levels += kCells) {
    std::memcpy(&parts, packed, sizeof parts);
    Spread<kBits>(parts, levels);
  }
  if (cells == 0) return;
  uint8_t rest[kCells];
  std::memcpy(&parts, packed, (cells * kBits + 7) / 8);
  Spread<kBits>(parts, rest);
  std::memcpy(levels, rest, cells);
}

}  // namespace

const uint8_t* Layer::ProgrammedLevels(int64_t tile, std::vector<uint8_t>* buffer) const {
  const int64_t row_bytes = config_.StoredBytes(arrays_.cols);
  const uint8_t* stored = arrays_.levels + tile * arrays_.rows * row_bytes;
  if (config_.stored_bits == 8) return stored;
  buffer->resize(arrays_.cells_per_tile());
  const auto unpack = config_.stored_bits == 1 ? Unpack<1> : config_.stored_bits == 2 ? Unpack<2> : Unpack<4>;
  for (int64_t row = 0; row < arrays_.rows; ++row) {
    unpack(stored + row * row_bytes, arrays_.cols, buffer->data() + row * arrays_.cols);
  }
  return buffer->data();
}

// What follows a wordline's last cell in its last byte is 0.
void Layer::CheckPadding() const {
  const int used_bits = static_cast<int>(arrays_.cols % 8 * config_.stored_bits % 8);
  if (used_bits == 0) return;
  const int64_t row_bytes = config_.StoredBytes(arrays_.cols);
  for (int64_t row = 0; row < arrays_.tiles * arrays_.rows; ++row) {
    if (arrays_.levels[(row + 1) * row_bytes - 1] >> used_bits == 0) continue;
    config_.Fail("levels[" + std::to_string(row / arrays_.rows) + ", " + std::to_string(row % arrays_.rows) +
                 "] is not padded with 0");
  }
}

void Layer::CheckLevels() const {
  std::vector<uint8_t> buffer, unused(arrays_.cols);
  for (int64_t tile = 0; tile < arrays_.tiles; ++tile) CheckTileLevels(tile, ProgrammedLevels(tile, &buffer), &unused);
}

// `unused`: a buffer, a byte a bitline.
void Layer::CheckTileLevels(int64_t tile, const uint8_t* levels, std::vector<uint8_t>* unused) const {
  const int64_t cols = arrays_.cols;
  const auto fail = [&](int64_t row, const auto& is_wrong, const std::string& broken) {
    const uint8_t* cells = levels + row * cols;
    int64_t col = 0;
    while (!is_wrong(cells[col], col)) ++col;
    config_.Fail("levels[" + std::to_string(tile) + ", " + std::to_string(row) + ", " + std::to_string(col) + "] is " +
                 std::to_string(cells[col]) + ", " + broken);
  };
  const int top = config_.top_level();
  uint8_t* const mask = unused->data();
  for (int64_t col = 0; col < cols; ++col) mask[col] = arrays_.bitline_output[tile * cols + col] < 0 ? 0xFF : 0;
  for (int64_t row = 0; row < arrays_.rows; ++row) {
    const uint8_t undriven = arrays_.wordline_input[tile * arrays_.rows + row] < 0 ? 0xFF : 0;
    const uint8_t* cells = levels + row * cols;
    // Levels are below a power of two, so a bit above it shows in the union.
    uint8_t seen = 0, stray = 0;
    for (int64_t col = 0; col < cols; ++col) {
      seen |= cells[col];
      stray |= cells[col] & (mask[col] | undriven);
    }
    if (seen > top) {
      fail(
          row, [&](uint8_t l, int64_t) { return l > top; },
          "above the top level " + std::to_string(top) + " [level-range]");
    }
    if (stray != 0) {
      fail(
          row, [&](uint8_t l, int64_t col) { return (l & (mask[col] | undriven)) != 0; },
          "but the cell is not used [unused-cell]");
    }
  }
}

}  // namespace rcompile
