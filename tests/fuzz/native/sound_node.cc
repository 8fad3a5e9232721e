#include <algorithm>
#include <numeric>
#include <utility>

#include "hostile_node.h"
#include "layer/config.h"
#include "numbers.h"
#include "ort/operator.h"

namespace fuzz {
namespace {

using ortabi::KernelInfo;

constexpr int kMaxTiles = 4;

// A layer in the making: the arrays of docs/hardware.md, "The normal form".
struct Arrays {
  int64_t rows = 0, cols = 0, tiles = 0;
  std::vector<uint8_t> levels;  // a byte a cell
  std::vector<int32_t> crossbar, wordline_input, bitline_output;
  std::vector<uint8_t> bitline_digit, bitline_replica, bitline_inverted;

  void AddTile(const std::vector<int32_t>& wordlines) {
    ++tiles;
    levels.resize(tiles * rows * cols);
    wordline_input.insert(wordline_input.end(), wordlines.begin(), wordlines.end());
    bitline_output.resize(tiles * cols, -1);
    for (auto* bitlines : {&bitline_digit, &bitline_replica, &bitline_inverted}) bitlines->resize(tiles * cols);
  }
};

rcompile::LayerConfig SoundConfig(FuzzedDataProvider* data) {
  rcompile::LayerConfig config;
  config.inputs = data->ConsumeIntegralInRange<int64_t>(1, 24);
  // Outputs of one panel, sometimes of two.
  config.outputs = data->ConsumeIntegralInRange<int64_t>(1, 12) + (data->ConsumeIntegralInRange(0, 7) == 7 ? 60 : 0);
  const int digits = data->ConsumeIntegralInRange(1, 6);
  for (int i = 0; i < digits; ++i) {
    const int64_t digit = 1 << data->ConsumeIntegralInRange(0, 5);
    config.digits.push_back(data->ConsumeIntegralInRange(0, 3) == 0 ? -digit : digit);
  }
  config.weight_offset = data->ConsumeIntegralInRange(0, 255);
  config.cell_bits = data->ConsumeIntegralInRange(1, 4);
  config.stored_bits = data->ConsumeBool() ? config.packed_bits() : 8;
  config.input_bits = data->ConsumeIntegralInRange(2, 8);
  config.dac_bits = data->ConsumeBool() ? 1 : data->ConsumeIntegralInRange(1, std::min(4, config.input_bits));
  config.input_coding = static_cast<rcompile::InputCoding>(data->ConsumeIntegralInRange(0, 2));
  config.input_scale = data->PickValueInArray({0.f, 0.f, 0.5f, 0.01f});
  config.adc_bits = data->ConsumeBool() ? 0 : data->ConsumeIntegralInRange(1, 12);
  if (config.adc_bits > 0) config.adc_step_levels = data->PickValueInArray({1., 1., 1., 2., 1.5, 0.7});
  config.hrs_levels = data->PickValueInArray({0., 0., 0.01, 0.3, 5.});
  config.combiner = static_cast<rcompile::Combiner>(data->ConsumeIntegralInRange(0, 4));
  config.likelier_level = data->ConsumeBool() ? config.top_level() : 0;
  return config;
}

// Puts a vote group on the next bitlines of the last tile.
void AddGroup(const rcompile::LayerConfig& config, int64_t output, int64_t digit, int64_t first, int64_t replicas,
              Numbers* numbers, Arrays* arrays) {
  const int64_t tile = arrays->tiles - 1, base = tile * arrays->cols + first;
  const uint8_t inverted = static_cast<uint8_t>(numbers->Below(2));
  for (int64_t r = 0; r < replicas; ++r) {
    arrays->bitline_output[base + r] = static_cast<int32_t>(output);
    arrays->bitline_digit[base + r] = static_cast<uint8_t>(digit);
    arrays->bitline_replica[base + r] = static_cast<uint8_t>(r);
    arrays->bitline_inverted[base + r] = inverted;
  }
  const int64_t top = numbers->Once(4) ? 0 : config.top_level();
  for (int64_t row = 0; row < arrays->rows; ++row) {
    if (arrays->wordline_input[tile * arrays->rows + row] < 0) continue;
    const uint8_t level = static_cast<uint8_t>(numbers->Below(top + 1));
    std::fill_n(arrays->levels.begin() + (tile * arrays->rows + row) * arrays->cols + first, replicas, level);
  }
}

void FillBlock(const rcompile::LayerConfig& config, const std::vector<int32_t>& wordlines, int64_t most_replicas,
               Numbers* numbers, Arrays* arrays) {
  std::vector<int64_t> bitlines(config.outputs * static_cast<int64_t>(config.digits.size()));
  std::iota(bitlines.begin(), bitlines.end(), 0);
  if (numbers->Once(3)) numbers->Shuffle(&bitlines);
  int64_t next = arrays->cols;
  for (const int64_t bitline : bitlines) {
    const int64_t replicas = 1 + numbers->Below(most_replicas);
    if (next + replicas > arrays->cols) {
      if (arrays->tiles == kMaxTiles) return;
      arrays->AddTile(wordlines);
      next = 0;
    }
    const int64_t digits = static_cast<int64_t>(config.digits.size());
    AddGroup(config, bitline / digits, bitline % digits, next, replicas, numbers, arrays);
    next += replicas + numbers->Once(20);
  }
}

Arrays SoundArrays(FuzzedDataProvider* data, const rcompile::LayerConfig& config, Numbers* numbers) {
  Arrays arrays;
  arrays.rows = data->ConsumeIntegralInRange<int64_t>(1, 20);
  arrays.cols = data->ConsumeIntegralInRange<int64_t>(1, 40);
  const int64_t most_replicas =
      data->ConsumeBool() ? 1 : data->ConsumeIntegralInRange<int64_t>(1, std::min<int64_t>(arrays.cols, 15));
  std::vector<int32_t> inputs(config.inputs);
  std::iota(inputs.begin(), inputs.end(), 0);
  if (data->ConsumeBool()) numbers->Shuffle(&inputs);
  for (size_t next = 0; next < inputs.size() && arrays.tiles < kMaxTiles;) {
    std::vector<int32_t> wordlines(arrays.rows, -1);
    bool driven = false;
    for (int64_t row = 0; row < arrays.rows && next < inputs.size(); ++row) {
      if (numbers->Once(9)) continue;
      wordlines[row] = inputs[next++];
      driven = true;
    }
    if (driven) FillBlock(config, wordlines, most_replicas, numbers, &arrays);
  }
  if (arrays.tiles == 0) arrays.AddTile(std::vector<int32_t>(arrays.rows, -1));
  for (int64_t tile = 0; tile < arrays.tiles; ++tile) arrays.crossbar.push_back(static_cast<int32_t>(tile * 7));
  return arrays;
}

// As many cells in a byte as the node says.
std::vector<uint8_t> Stored(const rcompile::LayerConfig& config, const Arrays& arrays) {
  const int64_t row_bytes = config.StoredBytes(arrays.cols);
  std::vector<uint8_t> stored(arrays.tiles * arrays.rows * row_bytes);
  for (int64_t row = 0; row < arrays.tiles * arrays.rows; ++row) {
    for (int64_t col = 0; col < arrays.cols; ++col) {
      const int64_t bit = col * config.stored_bits;
      uint8_t& to = stored[row * row_bytes + bit / 8];
      to = static_cast<uint8_t>(to | arrays.levels[row * arrays.cols + col] << bit % 8);
    }
  }
  return stored;
}

void PutAttributes(const rcompile::LayerConfig& config, KernelInfo* node) {
  const char* codings[] = {"twos_complement", "sign_magnitude", "offset"};
  const char* combiners[] = {"none", "cell", "select", "median", "mean"};
  const auto number = [&](const char* name, int64_t value) { node->attributes[name] = value; };
  node->attributes["layer"] = std::string("proj");
  number("inputs", config.inputs);
  number("outputs", config.outputs);
  node->attributes["digits"] = config.digits;
  number("weight_offset", config.weight_offset);
  number("cell_bits", config.cell_bits);
  number("stored_bits", config.stored_bits);
  number("input_bits", config.input_bits);
  node->attributes["input_coding"] = std::string(codings[static_cast<int>(config.input_coding)]);
  number("dac_bits", config.dac_bits);
  node->attributes["input_scale"] = config.input_scale;
  number("active_rows", config.active_rows);
  number("adc_bits", config.adc_bits);
  node->attributes["adc_step_levels"] = std::to_string(config.adc_step_levels);
  node->attributes["hrs_levels"] = std::to_string(config.hrs_levels);
  node->attributes["combiner"] = std::string(combiners[static_cast<int>(config.combiner)]);
  number("likelier_level", config.likelier_level);
}

}  // namespace

KernelInfo SoundNode(FuzzedDataProvider* data) {
  rcompile::LayerConfig config = SoundConfig(data);
  Numbers numbers(data->ConsumeIntegral<uint32_t>());
  const Arrays arrays = SoundArrays(data, config, &numbers);
  config.active_rows = data->ConsumeIntegralInRange<int64_t>(1, arrays.rows);
  std::vector<float> scales(config.outputs), biases(config.outputs);
  for (float& scale : scales) scale = 0.01f * static_cast<float>(1 + numbers.Below(9));
  for (float& bias : biases) bias = static_cast<float>(numbers.Below(9)) - 4;
  const size_t shift = data->ConsumeIntegralInRange<size_t>(0, 3);
  const std::vector<int64_t> bitlines = {arrays.tiles, arrays.cols}, outputs = {config.outputs};
  KernelInfo node;
  PutAttributes(config, &node);
  const auto put = [&](size_t input, std::vector<int64_t> dims, const auto& held) {
    node.constants[input] = Tensor(rcompile::kOpInputs[input].type, std::move(dims), held, shift);
  };
  put(1, {arrays.tiles, arrays.rows, config.StoredBytes(arrays.cols)}, Stored(config, arrays));
  put(2, {arrays.tiles}, arrays.crossbar);
  put(3, {arrays.tiles, arrays.rows}, arrays.wordline_input);
  put(4, bitlines, arrays.bitline_output);
  put(5, bitlines, arrays.bitline_digit);
  put(6, bitlines, arrays.bitline_replica);
  put(7, bitlines, arrays.bitline_inverted);
  put(8, outputs, scales);
  put(9, outputs, biases);
  return node;
}

}  // namespace fuzz
