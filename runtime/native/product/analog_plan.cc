#include <algorithm>
#include <cmath>
#include <tuple>

#include "die/randomness.h"
#include "product/analog.h"

namespace rcompile {
namespace {

// More leakage than this clips at any ADC, whatever the levels and the noise.
constexpr double kMostBias = 1 << 29;

}  // namespace

AnalogMode::AnalogMode(const LayerConfig& config, const Die& die, Vote voted, const SerialMode& serial)
    : vote(voted),
      plane_weight(serial.plane_weight),
      digits(serial.digits),
      dac_bits(serial.dac_bits),
      seed(die.seed),
      has_noise(die.has_noise()),
      reads_silence(die.noise > 0 || die.has_offset() || die.code_flip > 0),
      flip(Event(die.code_flip)),
      flip_bit(die.code_flip_bit) {
  const bool exact = config.adc_step_levels == 1 && !die.has_gain() && !die.has_offset();
  conversion = config.adc_bits == 0 ? Conversion::kNone : exact ? Conversion::kWhole : Conversion::kAny;
  for (int64_t population = 0; population <= config.active_rows * config.top_digit(); ++population) {
    const double leaked = config.Leak(population);
    leak.push_back(leaked);
    digital_leak.push_back(config.adc_bits == 0 ? 0 : config.DigitalLeak(population));
    bias.push_back(static_cast<int32_t>(std::min(std::floor(leaked * kGrid + kGrid / 2), kMostBias)));
    const double variance = die.noise * die.noise + static_cast<double>(population) * (die.cell_noise * die.cell_noise);
    noise.push_back(std::sqrt(variance) * kGrid);
  }
}

AnalogBuilder::AnalogBuilder(const Layer& layer, const AnalogMode& mode, const Die& die, const KernelTable& kernels)
    : layer_(layer), arrays_(layer.arrays()), mode_(mode), die_(die), kernels_(kernels) {}

int AnalogBuilder::PlanBlock(int block) {
  plan_block_.resize(layer_.row_blocks().size(), -1);
  if (plan_block_[block] >= 0) return plan_block_[block];
  AnalogBlock planned{&layer_.row_blocks()[block], {}};
  for (const OperationUnit& wordlines : planned.rows->units) {
    const int octets = (wordlines.count + 7) / 8;
    const int64_t in_crossbar = planned.rows->wordlines[wordlines.first] / layer_.config().active_rows;
    planned.units.push_back({wordlines, octets, static_cast<uint32_t>(in_crossbar), plan_.x_size, plan_.units});
    plan_.x_size += int64_t{2} * octets * mode_.planes() * mode_.dac_bits;
    ++plan_.units;
  }
  plan_.blocks.push_back(std::move(planned));
  return plan_block_[block] = static_cast<int>(plan_.blocks.size()) - 1;
}

// Gain and offset of each bitline's converter.
void AnalogBuilder::SetConverters(int64_t tile) {
  const int cols = static_cast<int>(arrays_.cols);
  std::vector<uint32_t> index(cols);
  std::vector<float> whole(cols, 1.f), z(cols);
  for (int col = 0; col < cols; ++col) index[col] = static_cast<uint32_t>(col);
  const auto draw = [&](Purpose purpose) {
    const WordKey key = Halves(TileKey(die_.seed, purpose, tile));
    kernels_.cells.normals(key, index.data(), whole.data(), cols, z.data());
  };
  gain_.resize(cols);
  offset_.resize(cols);
  draw(Purpose::kAdcGain);
  for (int col = 0; col < cols; ++col) gain_[col] = 1 + (die_.gain + die_.gain_sigma * static_cast<double>(z[col]));
  draw(Purpose::kAdcOffset);
  for (int col = 0; col < cols; ++col) offset_[col] = die_.offset + die_.offset_sigma * static_cast<double>(z[col]);
}

void AnalogBuilder::AddTile(int block, int64_t tile, const std::vector<int32_t>& columns, const TileCells& cells) {
  if (columns.empty() || layer_.row_blocks()[block].units.empty()) return;
  lanes_.clear();
  for (const int32_t& column : columns) {
    const int64_t i = tile * arrays_.cols + column;
    if (arrays_.bitline_replica[i] > 0) {
      ++lanes_.back().replicas;
      continue;
    }
    const int32_t output = arrays_.bitline_output[i];
    lanes_.push_back({output / kPanelWidth, 1, arrays_.bitline_slice[i], arrays_.bitline_polarity[i], output, &column});
  }
  std::sort(lanes_.begin(), lanes_.end(), [](const Lane& a, const Lane& b) {
    return std::tie(a.panel, a.replicas, a.slice, a.polarity, a.output) <
           std::tie(b.panel, b.replicas, b.slice, b.polarity, b.output);
  });
  if (mode_.conversion == Conversion::kAny) SetConverters(layer_.config().first_tile + tile);
  const int planned = PlanBlock(block);
  const Lane* const end = lanes_.data() + lanes_.size();
  for (const Lane* first = lanes_.data(); first != end;) {
    const Lane* last = first;
    while (last != end && last->panel == first->panel && last->replicas == first->replicas) ++last;
    AddGroup(planned, tile, first, last, cells);
    first = last;
  }
}

void AnalogBuilder::AddGroup(int block, int64_t tile, const Lane* first, const Lane* last, const TileCells& cells) {
  const int vectors = static_cast<int>((last - first + kAnalogLanes - 1) / kAnalogLanes);
  const int64_t lanes = int64_t{vectors} * kAnalogLanes;
  const AnalogGroup group{first->panel,
                          block,
                          layer_.config().first_tile + tile,
                          first->replicas,
                          vectors,
                          static_cast<int64_t>(plan_.column.size()),
                          static_cast<int64_t>(plan_.bitline.size()),
                          static_cast<int64_t>(plan_.levels.size())};
  plan_.groups.push_back(group);
  plan_.column.resize(group.first_lane + lanes);
  plan_.weight.resize(group.first_lane + lanes);
  plan_.bitline.resize(group.bitlines + lanes * group.replicas);
  if (mode_.conversion == Conversion::kAny) {
    plan_.gain.resize(plan_.bitline.size());
    plan_.offset.resize(plan_.bitline.size());
  }
  for (const Lane* lane = first; lane != last; ++lane) AddLane(group, tile, *lane, lane - first);
  // Lanes without a bitline go on in the panel if they can, so that a run does not end with them.
  for (int64_t at = group.first_lane + (last - first); at < group.first_lane + lanes; ++at) {
    plan_.column[at] = static_cast<uint8_t>(std::min(plan_.column[at - 1] + 1, kPanelWidth - 1));
  }
  AddLevels(group, first, last, cells);
}

void AnalogBuilder::AddLane(const AnalogGroup& group, int64_t tile, const Lane& lane, int64_t at) {
  const int sign = arrays_.bitline_inverted[tile * arrays_.cols + lane.bitlines[0]] ? -lane.polarity : lane.polarity;
  plan_.column[group.first_lane + at] = static_cast<uint8_t>(lane.output % kPanelWidth);
  plan_.weight[group.first_lane + at] = sign * (1 << (layer_.config().cell_bits * lane.slice));
  for (int r = 0; r < group.replicas; ++r) {
    const int64_t i = group.bitlines + (at / kAnalogLanes * group.replicas + r) * kAnalogLanes + at % kAnalogLanes;
    plan_.bitline[i] = static_cast<uint32_t>(lane.bitlines[r]);
    if (mode_.conversion != Conversion::kAny) continue;
    plan_.gain[i] = gain_[lane.bitlines[r]];
    plan_.offset[i] = offset_[lane.bitlines[r]];
  }
}

void AnalogBuilder::AddLevels(const AnalogGroup& group, const Lane* first, const Lane* last, const TileCells& cells) {
  const std::vector<int32_t>& wordlines = plan_.blocks[group.block].rows->wordlines;
  const int64_t driven = static_cast<int64_t>(wordlines.size());
  plan_.levels.resize(group.levels + int64_t{group.vectors} * group.replicas * driven * kAnalogLanes);
  int16_t* to = plan_.levels.data() + group.levels;
  for (; first < last; first += kAnalogLanes) {
    const int lanes = static_cast<int>(std::min<int64_t>(kAnalogLanes, last - first));
    for (int r = 0; r < group.replicas; ++r) {
      int32_t bitlines[kAnalogLanes];
      for (int j = 0; j < lanes; ++j) bitlines[j] = first[j].bitlines[r];
      for (const int32_t wordline : wordlines) {
        const int64_t row = wordline * arrays_.cols;
        for (int j = 0; j < lanes; ++j) {
          const int64_t cell = row + bitlines[j];
          to[j] = cells.analog != nullptr ? cells.analog[cell] : static_cast<int16_t>(cells.levels[cell] * kGrid);
        }
        to += kAnalogLanes;
      }
    }
  }
}

AnalogPlan AnalogBuilder::Build(int64_t panels) {
  std::stable_sort(plan_.groups.begin(), plan_.groups.end(),
                   [](const AnalogGroup& a, const AnalogGroup& b) { return a.panel < b.panel; });
  for (size_t g = 0; g < plan_.groups.size(); ++g) {
    plan_.panel_begin.resize(plan_.groups[g].panel + 1, static_cast<int64_t>(g));
  }
  plan_.panel_begin.resize(panels + 1, static_cast<int64_t>(plan_.groups.size()));
  return std::move(plan_);
}

}  // namespace rcompile
