#include "layer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "kernels.h"
#include "ort_call.h"
#include "vote.h"

namespace rcompile {
namespace {

// Limits that keep every sum inside its type; kernels.h and bit_serial_kernel.h state the bounds that follow.
constexpr int64_t kMaxRows = 4096;
constexpr int64_t kMaxCols = 65536;  // as FindVotes packs them
constexpr int64_t kMaxInputs = 65536;
constexpr int64_t kMaxOutputs = int64_t{1} << 20;
constexpr int64_t kMaxWeights = int64_t{1} << 31;
constexpr int64_t kMaxTile = int64_t{1} << 40;
constexpr double kMinStep = 1.0 / 256;
constexpr double kMaxStep = 1 << 20;
constexpr double kMaxHrsLevels = 4096;
constexpr double kLeakGrid = 1 << 20;

std::string At(const char* array, int64_t tile, int64_t index) {
  return std::string(array) + "[" + std::to_string(tile) + ", " + std::to_string(index) + "]";
}

auto ConfigKey(const LayerConfig& c) {
  return std::tie(c.name, c.inputs, c.outputs, c.first_tile, c.weight_bits, c.cell_bits, c.stored_bits, c.encoding,
                  c.input_bits, c.input_coding, c.dac_bits, c.input_scale, c.active_rows, c.adc_bits, c.adc_step_levels,
                  c.hrs_levels, c.combiner, c.likelier_level);
}

auto ArraysKey(const LayerArrays& a) {
  return std::tie(a.tiles, a.rows, a.cols, a.levels, a.wordline_input, a.bitline_output, a.bitline_slice,
                  a.bitline_polarity, a.bitline_replica, a.bitline_inverted);
}

}  // namespace

bool LayerConfig::operator==(const LayerConfig& other) const { return ConfigKey(*this) == ConfigKey(other); }
bool LayerArrays::operator==(const LayerArrays& other) const { return ArraysKey(*this) == ArraysKey(other); }

int64_t LayerConfig::adc_max() const {
  return adc_bits == 0 ? std::numeric_limits<int64_t>::max() / 2 : (int64_t{1} << adc_bits) - 1;
}

double LayerConfig::Leak(int64_t population) const {
  return std::nearbyint(hrs_levels * static_cast<double>(population) * kLeakGrid) / kLeakGrid;
}

int64_t LayerConfig::DigitalLeak(int64_t population) const {
  return static_cast<int64_t>(std::floor(Leak(population) + 0.5));
}

Layer::Layer(LayerConfig config, const LayerArrays& arrays) : config_(std::move(config)), arrays_(arrays) {
  CheckConfig();
  CheckPadding();
  CheckLevels();
  CheckBitlines();
  FindRowBlocks();
  votes_.resize(arrays_.tiles);
  for (int64_t tile = 0; tile < arrays_.tiles; ++tile) FindVotes(tile);
  CheckDuplicates();
  CheckReplicas();
}

void Layer::Fail(const std::string& what) const { throw Error("crossbar layer '" + config_.name + "': " + what); }

void Layer::CheckConfig() const {
  const auto in_range = [this](const char* name, int64_t value, int64_t low, int64_t high) {
    if (value >= low && value <= high) return;
    Fail(std::string(name) + " is " + std::to_string(value) + ", not in " + std::to_string(low) + " .. " +
         std::to_string(high));
  };
  in_range("inputs", config_.inputs, 1, kMaxInputs);
  in_range("outputs", config_.outputs, 1, kMaxOutputs);
  in_range("inputs * outputs", config_.inputs * config_.outputs, 1, kMaxWeights);
  in_range("first_tile", config_.first_tile, 0, kMaxTile);
  in_range("rows", arrays_.rows, 1, kMaxRows);
  in_range("cols", arrays_.cols, 1, kMaxCols);
  in_range("weight_bits", config_.weight_bits, 2, 8);
  in_range("cell_bits", config_.cell_bits, 1, 4);
  if (config_.stored_bits != 8 && config_.stored_bits != config_.packed_bits()) {
    Fail("stored_bits is " + std::to_string(config_.stored_bits) + ", neither 8 nor " +
         std::to_string(config_.packed_bits()) + ", as cells of " + std::to_string(config_.cell_bits) +
         " bits are packed");
  }
  in_range("input_bits", config_.input_bits, 2, 8);
  in_range("dac_bits", config_.dac_bits, 1, config_.input_bits);
  in_range("cell_bits + dac_bits", config_.cell_bits + config_.dac_bits, 2, 9);  // a level times a bit's weight
  in_range("active_rows", config_.active_rows, 1, arrays_.rows);
  in_range("adc_bits", config_.adc_bits, 0, 16);
  if (!(config_.input_scale >= 0) || !std::isfinite(config_.input_scale)) {
    Fail("input_scale is " + std::to_string(config_.input_scale) + ", neither 0 (dynamic) nor finite and positive");
  }
  if (!(config_.adc_step_levels >= kMinStep && config_.adc_step_levels <= kMaxStep)) {
    Fail("adc_step_levels is " + std::to_string(config_.adc_step_levels) + ", not in 1/256 .. 2^20");
  }
  if (config_.adc_bits == 0 && config_.adc_step_levels != 1) {
    Fail("adc_step_levels is " + std::to_string(config_.adc_step_levels) + ", but an ideal converter's (adc_bits 0) is 1");
  }
  if (!(config_.hrs_levels >= 0 && config_.hrs_levels <= kMaxHrsLevels)) {
    Fail("hrs_levels is " + std::to_string(config_.hrs_levels) + ", not in 0 .. 4096");
  }
  if (config_.likelier_level != 0 && config_.likelier_level != config_.top_level()) {
    Fail("likelier_level is " + std::to_string(config_.likelier_level) + ", neither 0 nor the top level " +
         std::to_string(config_.top_level()));
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
    Fail(At(array, tile, col) + " is " + std::to_string(value) + ", " + allowed);
  };
  if (output < -1 || output >= config_.outputs) {
    fail("bitline_output", output, "not in -1 .. " + std::to_string(config_.outputs - 1));
  }
  if (output < 0) return;  // the other maps mean nothing on an unused bitline
  const int slice = arrays_.bitline_slice[i];
  if (slice >= config_.slices()) {
    fail("bitline_slice", slice, "but the layer has " + std::to_string(config_.slices()) + " slices");
  }
  const int polarity = arrays_.bitline_polarity[i];
  if (polarity != 1 && polarity != -1) fail("bitline_polarity", polarity, "neither 1 nor -1");
  if (polarity == -1 && config_.encoding == Encoding::kOffset) {
    fail("bitline_polarity", polarity, "but offset encoding has polarity 1 only");
  }
  if (arrays_.bitline_inverted[i] > 1) fail("bitline_inverted", arrays_.bitline_inverted[i], "neither 0 nor 1");
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
    if (input < -1 || input >= config_.inputs) {
      Fail(At("wordline_input", tile, row) + " is " + std::to_string(input) + ", not in -1 .. " +
           std::to_string(config_.inputs - 1));
    }
    if (input < 0) continue;
    int32_t& owned_by = (*owner)[input];
    if (owned_by == id) Fail(At("wordline_input", tile, row) + " drives input " + std::to_string(input) + " again");
    if (owned_by >= 0) {
      Fail(At("wordline_input", tile, row) + " drives input " + std::to_string(input) +
           ", which belongs to another row block (tile " + std::to_string(row_blocks_[owned_by].tiles[0]) + ")");
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

// Bitlines are sorted as numbers: output, slice and polarity, which make the group; then replica; then the bitline.
void Layer::FindVotes(int64_t tile) {
  constexpr int kColBits = 16, kReplicaBits = 8;
  std::vector<uint64_t> keys;
  for (int64_t col = 0; col < arrays_.cols; ++col) {
    const int64_t i = tile * arrays_.cols + col;
    if (arrays_.bitline_output[i] < 0) continue;
    uint64_t key = static_cast<uint64_t>(arrays_.bitline_output[i]) << 8 | arrays_.bitline_slice[i];
    key = key << 1 | (arrays_.bitline_polarity[i] < 0);
    key = key << kReplicaBits | arrays_.bitline_replica[i];
    keys.push_back(key << kColBits | static_cast<uint64_t>(col));
  }
  std::sort(keys.begin(), keys.end());
  std::vector<int32_t> group;
  for (size_t i = 0; i < keys.size(); ++i) {
    group.push_back(static_cast<int32_t>(keys[i] & ((1 << kColBits) - 1)));
    const bool is_last = i + 1 == keys.size() || keys[i] >> (kReplicaBits + kColBits) !=
                                                     keys[i + 1] >> (kReplicaBits + kColBits);
    if (!is_last) continue;
    AddVotes(tile, group);
    group.clear();
  }
}

// `group`: its bitlines, sorted by replica.
void Layer::AddVotes(int64_t tile, const std::vector<int32_t>& group) {
  const int64_t base = tile * arrays_.cols;
  const auto fail = [&](const char* array, const uint8_t* values, size_t r, const std::string& broken) {
    const int64_t i = base + group[r];
    Fail(At(array, tile, group[r]) + " is " + std::to_string(values[i]) + ", but " + broken + " (output " +
         std::to_string(arrays_.bitline_output[i]) + ", slice " + std::to_string(arrays_.bitline_slice[i]) + ")");
  };
  const uint8_t *replica = arrays_.bitline_replica, *inverted = arrays_.bitline_inverted;
  const size_t replicas = group.size();
  for (size_t r = 0; r < replicas; ++r) {
    if (replica[base + group[r]] != r) fail("bitline_replica", replica, r, "replicas in a tile are numbered 0, 1, ...");
    if (inverted[base + group[r]] != inverted[base + group[0]]) {
      fail("bitline_inverted", inverted, r, "replicas are all inverted or all not");
    }
  }
  if (replicas > kMaxReplicas) {
    fail("bitline_replica", replica, replicas - 1, "there may be " + std::to_string(kMaxReplicas) + " at most");
  }
  ++vote_groups_;
  if (replicas == 1) return;
  has_votes_ = true;
  TileVotes& votes = votes_[tile];
  votes.bitlines.insert(votes.bitlines.end(), group.begin(), group.end());
  votes.replicas.push_back(static_cast<int32_t>(replicas));
}

// One vote group at most for each (row block, output, slice, polarity).
void Layer::CheckDuplicates() const {
  const int kinds = 2 * config_.slices();
  std::vector<int32_t> last_seen(config_.outputs * kinds, -1);  // the row block that had it last
  for (size_t block = 0; block < row_blocks_.size(); ++block) {
    if (row_blocks_[block].inputs.empty()) continue;  // contributes nothing
    for (const int64_t tile : row_blocks_[block].tiles) {
      for (int64_t col = 0; col < arrays_.cols; ++col) {
        const int64_t i = tile * arrays_.cols + col;
        if (!arrays_.is_computed(i)) continue;
        const int64_t output = arrays_.bitline_output[i];
        int32_t& seen = last_seen[output * kinds + 2 * arrays_.bitline_slice[i] + (arrays_.bitline_polarity[i] < 0)];
        if (seen == static_cast<int32_t>(block)) {
          Fail(At("bitline_output", tile, col) + " is " + std::to_string(output) + ", whose slice " +
               std::to_string(arrays_.bitline_slice[i]) + " this row block already has");
        }
        seen = static_cast<int32_t>(block);
      }
    }
  }
}

// On a die without faults, any vote then finds what replica 0 holds.
void Layer::CheckReplicas() const {
  std::vector<uint8_t> buffer;
  for (const RowBlock& block : row_blocks_) {
    for (const int64_t tile : block.tiles) {
      if (votes_[tile].replicas.empty()) continue;
      const uint8_t* levels = ProgrammedLevels(tile, &buffer);
      const int32_t* bitlines = votes_[tile].bitlines.data();
      for (const int replicas : votes_[tile].replicas) {
        if (!HoldAlike(levels, arrays_.cols, block, bitlines, replicas)) {
          Fail("levels[" + std::to_string(tile) + "] differ between bitline " + std::to_string(bitlines[0]) +
               " and its replicas");
        }
        bitlines += replicas;
      }
    }
  }
}

}  // namespace rcompile
