#include "layer/layer.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/text.h"
#include "simd/kernels.h"

namespace rcompile {
namespace {

// As those of config.cc.
constexpr int64_t kMaxCols = 65536;                 // as FindVotes packs them
constexpr int64_t kFreeWeights = int64_t{1} << 26;  // as those of rcompile/layout/normal_form.py
constexpr int64_t kWeightsACell = 64;

}  // namespace

Layer::Layer(LayerConfig config, const LayerArrays& arrays) : config_(std::move(config)), arrays_(arrays) {
  config_.Check();
  CheckShape();
  OwnArrays();
  CheckPadding();
  CheckCrossbars();
  CheckWordlines();
  CheckBitlines();
  CheckLevels();
  FindRowBlocks();
  votes_.resize(arrays_.tiles);
  for (int64_t tile = 0; tile < arrays_.tiles; ++tile) FindVotes(tile);
  CheckDuplicates();
  CheckReplicas();
}

template <class T>
void Layer::Own(const T** array, int64_t count) {
  const size_t bytes = static_cast<size_t>(count) * sizeof(T);
  owned_.push_back(std::make_unique_for_overwrite<uint8_t[]>(bytes));
  std::memcpy(owned_.back().get(), *array, bytes);
  *array = reinterpret_cast<const T*>(owned_.back().get());
}

void Layer::OwnArrays() {
  const int64_t wordlines = arrays_.tiles * arrays_.rows, bitlines = arrays_.tiles * arrays_.cols;
  Own(&arrays_.levels, wordlines * config_.StoredBytes(arrays_.cols));
  Own(&arrays_.crossbar, arrays_.tiles);
  Own(&arrays_.wordline_input, wordlines);
  Own(&arrays_.bitline_output, bitlines);
  Own(&arrays_.bitline_digit, bitlines);
  Own(&arrays_.bitline_replica, bitlines);
  Own(&arrays_.bitline_inverted, bitlines);
}

std::string Layer::At(const char* array, int64_t tile, int64_t index) {
  return std::string(array) + "[" + std::to_string(tile) + ", " + std::to_string(index) + "]";
}

void Layer::CheckShape() const {
  config_.CheckRange("tiles", arrays_.tiles, 1, std::numeric_limits<int32_t>::max());
  config_.CheckRange("rows", arrays_.rows, 1, kMaxRows);
  config_.CheckRange("cols", arrays_.cols, 1, kMaxCols);
  config_.CheckRange("active_rows", config_.active_rows, 1, arrays_.rows);
  // Pruned weights need no cells, but memory once they are folded.
  const int64_t cells = arrays_.tiles * arrays_.cells_per_tile(), weights = config_.inputs * config_.outputs;
  if (weights > std::max(kFreeWeights, kWeightsACell * cells)) {
    config_.Fail("there are " + std::to_string(weights) + " weights, but " + std::to_string(cells) +
                 " cells [layer-size]");
  }
}

void Layer::CheckCrossbars() {
  std::unordered_map<int32_t, int64_t> tile_on;
  for (int64_t tile = 0; tile < arrays_.tiles; ++tile) {
    const int32_t crossbar = arrays_.crossbar[tile];
    const std::string what = "crossbar[" + std::to_string(tile) + "] is " + std::to_string(crossbar);
    if (crossbar < 0) config_.Fail(what + ", below 0 [crossbar-range]");
    const auto [entry, is_new] = tile_on.emplace(crossbar, tile);
    if (!is_new) config_.Fail(what + ", as that of tile " + std::to_string(entry->second) + " [crossbar-twice]");
  }
  crossbars_.assign(arrays_.crossbar, arrays_.crossbar + arrays_.tiles);
  std::sort(crossbars_.begin(), crossbars_.end());
}

void Layer::CheckApart(const Layer& other) const {
  if (config_.name == other.config_.name) return;  // nodes that share a layer
  auto mine = crossbars_.begin();
  auto theirs = std::lower_bound(other.crossbars_.begin(), other.crossbars_.end(), *mine);
  while (mine != crossbars_.end() && theirs != other.crossbars_.end()) {
    if (*mine == *theirs) {
      config_.Fail("crossbar " + std::to_string(*mine) + " is that of layer " + Quoted(other.config_.name) +
                   " [crossbar-shared]");
    }
    *mine < *theirs ? ++mine : ++theirs;
  }
}

void Layer::CheckWordlines() const {
  for (int64_t i = 0; i < arrays_.tiles * arrays_.rows; ++i) {
    const int32_t input = arrays_.wordline_input[i];
    if (input >= -1 && input < config_.inputs) continue;
    config_.Fail(At("wordline_input", i / arrays_.rows, i % arrays_.rows) + " is " + std::to_string(input) +
                 ", not in -1 .. " + std::to_string(config_.inputs - 1) + " [input-range]");
  }
}

void Layer::CheckBitlines() const {
  for (int64_t tile = 0; tile < arrays_.tiles; ++tile) {
    for (int64_t col = 0; col < arrays_.cols; ++col) CheckBitline(tile, col);
  }
}

void Layer::CheckBitline(int64_t tile, int64_t col) const {
  const int64_t i = tile * arrays_.cols + col;
  const int32_t output = arrays_.bitline_output[i];
  const auto fail = [&](const char* array, int value, const std::string& allowed) {
    config_.Fail(At(array, tile, col) + " is " + std::to_string(value) + ", " + allowed);
  };
  if (output < -1 || output >= config_.outputs) {
    fail("bitline_output", output, "not in -1 .. " + std::to_string(config_.outputs - 1) + " [output-range]");
  }
  if (arrays_.bitline_digit[i] >= config_.digits.size()) {
    fail("bitline_digit", arrays_.bitline_digit[i],
         "but the layer has " + std::to_string(config_.digits.size()) + " digits [digit-range]");
  }
  if (arrays_.bitline_replica[i] >= kMaxReplicas) {
    fail("bitline_replica", arrays_.bitline_replica[i],
         "but there may be " + std::to_string(kMaxReplicas) + " at most [replica-range]");
  }
  if (arrays_.bitline_inverted[i] > 1) {
    fail("bitline_inverted", arrays_.bitline_inverted[i], "neither 0 nor 1 [inversion-range]");
  }
}

void Layer::FindRowBlocks() {
  std::unordered_map<std::string_view, size_t> known;
  std::vector<int32_t> owner(config_.inputs, -1);  // row block of each feature
  for (int64_t tile = 0; tile < arrays_.tiles; ++tile) {
    const int32_t* row = arrays_.wordline_input + tile * arrays_.rows;
    const std::string_view key(reinterpret_cast<const char*>(row), arrays_.rows * sizeof(int32_t));
    const auto [entry, is_new] = known.emplace(key, row_blocks_.size());
    if (is_new) AddRowBlock(tile, &owner);
    row_blocks_[entry->second].tiles.push_back(tile);
  }
}

void Layer::AddRowBlock(int64_t tile, std::vector<int32_t>* owner) {
  const int32_t id = static_cast<int32_t>(row_blocks_.size());
  RowBlock block;
  for (int64_t row = 0; row < arrays_.rows; ++row) {
    const int32_t input = arrays_.wordline_input[tile * arrays_.rows + row];
    if (input < 0) continue;
    int32_t& owned_by = (*owner)[input];
    const auto drives = [&] { return At("wordline_input", tile, row) + " drives input " + std::to_string(input); };
    if (owned_by == id) config_.Fail(drives() + " again [input-twice]");
    if (owned_by >= 0) {
      const int64_t owner_tile = row_blocks_[owned_by].tiles[0];
      config_.Fail(drives() + ", which belongs to another row block (tile " + std::to_string(owner_tile) +
                   ") [input-in-two-blocks]");
    }
    owned_by = id;
    const int64_t unit = row / config_.active_rows;
    const int position = static_cast<int>(block.inputs.size());
    const bool same_unit = position > 0 && block.wordlines.back() / config_.active_rows == unit;
    if (!same_unit) block.units.push_back({position, 0});
    ++block.units.back().count;
    block.wordlines.push_back(static_cast<int32_t>(row));
    block.inputs.push_back(input);
  }
  row_blocks_.push_back(std::move(block));
}

}  // namespace rcompile
