#include <algorithm>
#include <cmath>

#include "die/randomness.h"
#include "product/analog_reads.h"

namespace rcompile {
namespace {

// More leakage than this clips at any ADC, whatever the levels and the noise.
constexpr double kMostBias = 1 << 29;

}  // namespace

AnalogMode::AnalogMode(const LayerConfig& config, const Die& die, Vote voted)
    : ReadMode(config, voted),
      seed(die.seed),
      has_noise(die.has_noise()),
      flip(Event(die.code_flip)),
      flip_bit(die.code_flip_bit),
      adc_bits(config.adc_bits),
      converter(config.converter()) {
  lanes = kAnalogLanes;
  needs_digests = has_noise || flip.possible;
  const bool exact = config.adc_step_levels == 1 && !die.has_gain() && !die.has_offset();
  conversion = config.adc_bits == 0 ? Conversion::kNone : exact ? Conversion::kWhole : Conversion::kAny;
  const bool reads_silence =
      die.noise > 0 || die.has_offset() || die.code_flip > 0 || config.reads_silence();  // which need not be 0
  for (int64_t population = 0; population <= config.active_rows * config.top_pulse(); ++population) {
    const double leaked = config.Leak(population);
    is_read.push_back(population > 0 || reads_silence);
    leak.push_back(leaked);
    if (config.adc_bits > 0) digital.push_back(config.DigitalLeak(population));
    bias.push_back(static_cast<int32_t>(std::min(std::floor(leaked * kGrid + kGrid / 2), kMostBias)));
    const double variance = die.noise * die.noise + static_cast<double>(population) * (die.cell_noise * die.cell_noise);
    noise.push_back(std::sqrt(variance) * kGrid);
  }
}

AnalogBuilder::AnalogBuilder(const Layer& layer, const AnalogMode& mode, const Die& die, const KernelTable& kernels)
    : layer_(layer), mode_(mode), die_(die), kernels_(kernels), planner_(layer, mode, &plan_) {}

// Gain and offset of each bitline's converter.
void AnalogBuilder::DrawConverters(int64_t tile) {
  const int cols = static_cast<int>(layer_.arrays().cols);
  std::vector<uint32_t> index(cols);
  std::vector<float> whole(cols, 1.f), z(cols);
  for (int col = 0; col < cols; ++col) index[col] = static_cast<uint32_t>(col);
  const auto draw = [&](Purpose purpose) {
    const WordKey key = Halves(CrossbarKey(die_.seed, purpose, layer_.arrays().crossbar[tile]));
    kernels_.cells.normals(key, index.data(), whole.data(), cols, z.data());
  };
  gain_.resize(cols);
  offset_.resize(cols);
  draw(Purpose::kAdcGain);
  for (int col = 0; col < cols; ++col) gain_[col] = 1 + (die_.gain + die_.gain_sigma * static_cast<double>(z[col]));
  draw(Purpose::kAdcOffset);
  for (int col = 0; col < cols; ++col) offset_[col] = die_.offset + die_.offset_sigma * static_cast<double>(z[col]);
}

void AnalogBuilder::AddTile(int block, int64_t tile, const Columns& columns, const TileCells& cells) {
  bitlines_.clear();
  planner_.Collect(block, tile, columns, &bitlines_);
  if (bitlines_.empty()) return;
  if (mode_.conversion == Conversion::kAny) DrawConverters(tile);
  size_t next = plan_.groups.size();
  planner_.AddGroups(&bitlines_);
  const ReadBitline* bitlines = bitlines_.data();
  for (; next < plan_.groups.size(); ++next) {
    const ReadGroup& group = plan_.groups[next];
    AddBitlines(group, bitlines, columns.bitlines.data());
    AddLevels(group, cells);
    bitlines += group.count;
  }
}

void AnalogBuilder::AddBitlines(const ReadGroup& group, const ReadBitline* bitlines, const int32_t* columns) {
  plan_.bitline.resize(plan_.replica_count);
  if (mode_.conversion == Conversion::kAny) {
    plan_.gain.resize(plan_.replica_count);
    plan_.offset.resize(plan_.replica_count);
  }
  for (int64_t lane = 0; lane < group.count; ++lane) {
    for (int r = 0; r < group.replicas; ++r) {
      const int32_t column = columns[bitlines[lane].source + r];
      const int64_t i =
          group.first_replica + (lane / kAnalogLanes * group.replicas + r) * kAnalogLanes + lane % kAnalogLanes;
      plan_.bitline[i] = static_cast<uint32_t>(column);
      if (mode_.conversion != Conversion::kAny) continue;
      plan_.gain[i] = gain_[column];
      plan_.offset[i] = offset_[column];
    }
  }
}

void AnalogBuilder::AddLevels(const ReadGroup& group, const TileCells& cells) {
  plan_.levels.resize(plan_.level_count);
  int16_t* to = plan_.levels.data() + group.first_level;
  const uint32_t* bitlines = plan_.bitline.data() + group.first_replica;
  for (int64_t done = 0; done < group.vectors * kAnalogLanes; done += kAnalogLanes) {
    const int lanes = static_cast<int>(std::min<int64_t>(kAnalogLanes, group.count - done));
    for (int r = 0; r < group.replicas; ++r, bitlines += kAnalogLanes) {
      for (const int32_t wordline : plan_.blocks[group.block].rows->wordlines) {
        const int64_t row = wordline * layer_.arrays().cols;
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
  planner_.Finish(panels);
  return std::move(plan_);
}

}  // namespace rcompile
