#include <algorithm>
#include <limits>

#include "product/whole_reads.h"

namespace rcompile {
namespace {

// About half of the bits of a plane are set.  If the ADC holds somewhat more than the sum of so many top levels, then
// reads that may clip are rare.
constexpr double kWideAdc = 0.55;

}  // namespace

WholeMode::WholeMode(const LayerConfig& config, const KernelTable& kernels, Vote voted, bool every_read)
    : ReadMode(config, voted), is_unsigned(config.input_coding == InputCoding::kOffset), converter(config.converter()) {
  const int64_t largest_sum = config.active_rows * config.top_pulse() * config.top_level();
  const bool wide_adc = static_cast<double>(config.adc_max()) >= kWideAdc * static_cast<double>(largest_sum);
  const bool may_skip = wide_adc && !every_read && vote == Vote::kNone;
  kind = !config.counts_levels() ? ReadKind::kStepped : may_skip ? ReadKind::kExcess : ReadKind::kClipped;
  sign = kind == ReadKind::kExcess ? -1 : 1;
  lane_bytes = kind == ReadKind::kClipped && config.adc_max() <= 255 ? 1 : largest_sum <= 65535 ? 2 : 4;
  const bool is_narrow = config.cell_bits <= 2 && dac_bits == 1;
  lookup = lane_bytes == 1 && vote == Vote::kNone && is_narrow ? kernels.reads.lookup_wordlines : 0;
  lanes = lookup > 0 ? 2 : kernels.vector_bytes / lane_bytes;
  lane_sign = is_unsigned ? -1 : 1;
  lane_limit.fill(static_cast<uint8_t>(config.adc_max()));
  for (size_t lane = 0; lane < lane_weight.size(); ++lane) {
    const size_t plane = lane % row_lanes();
    lane_weight[lane] = static_cast<int8_t>(plane < planes.size() ? lane_sign * plane_weight[plane] : 0);
  }
  SetTables(config);
}

void WholeMode::SetTables(const LayerConfig& config) {
  const bool has_leak = config.hrs_levels > 0;
  for (int64_t population = 0; population <= config.active_rows * config.top_pulse(); ++population) {
    const int64_t digital_leak = config.DigitalLeak(population);
    const int64_t clipped_at = config.adc_max() - digital_leak;  // min(sum + leak, max) - leak
    // A negative limit has a part that no unsigned lane can hold.
    const int64_t held = std::clamp<int64_t>(clipped_at, 0, std::numeric_limits<uint32_t>::max());
    is_read.push_back(kind == ReadKind::kExcess ? population * config.top_level() > clipped_at
                                                : population > 0 || config.reads_silence());
    if (kind == ReadKind::kStepped) {
      leak.push_back(config.Leak(population));
    } else {
      limit.push_back(static_cast<uint32_t>(held));
    }
    if (!has_leak) continue;
    digital.push_back(kind == ReadKind::kStepped ? digital_leak : -sign * std::min<int64_t>(clipped_at, 0));
    if (lookup > 0) lane_limits.push_back(static_cast<uint8_t>(held));
  }
  if (std::all_of(digital.begin(), digital.end(), [](int64_t levels) { return levels == 0; })) digital.clear();
}

WholeBuilder::WholeBuilder(const Layer& layer, const WholeMode& mode)
    : layer_(layer), mode_(mode), planner_(layer, mode, &plan_) {}

void WholeBuilder::AddTile(int block, int64_t tile, const Columns& columns, const uint8_t* levels) {
  const size_t first = bitlines_.size();
  planner_.Collect(block, tile, columns, &bitlines_);
  if (bitlines_.size() == first) return;
  const std::vector<int32_t>& wordlines = layer_.row_blocks()[block].wordlines;
  const int64_t driven = static_cast<int64_t>(wordlines.size());
  const int64_t base = static_cast<int64_t>(levels_.size());
  for (size_t b = first; b < bitlines_.size(); ++b) bitlines_[b].source = base + bitlines_[b].source * driven;
  const std::vector<int32_t>& bitlines = columns.bitlines;
  levels_.resize(base + static_cast<int64_t>(bitlines.size()) * driven);
  for (int64_t w = 0; w < driven; ++w) {
    const uint8_t* row = levels + wordlines[w] * layer_.arrays().cols;
    uint8_t* to = levels_.data() + base + w;
    for (size_t j = 0; j < bitlines.size(); ++j) to[static_cast<int64_t>(j) * driven] = row[bitlines[j]];
  }
}

void WholeBuilder::AddLevels(const ReadGroup& group, const ReadBitline& bitline, int64_t lane) {
  const int lanes = mode_.lanes;
  const int64_t driven = plan_.blocks[group.block].levels;
  for (int r = 0; r < group.replicas; ++r) {
    const uint8_t* from = levels_.data() + bitline.source + r * driven;
    uint8_t* to = plan_.levels.data() + group.first_level + (lane / lanes * group.replicas + r) * driven * lanes +
                  LanePosition(static_cast<int>(lane % lanes), lanes);
    for (int64_t w = 0; w < driven; ++w) to[w * lanes] = from[w];
  }
}

void WholeBuilder::PackLevels(const ReadGroup& group, const ReadBitline& bitline, int64_t lane) {
  const ReadBlock& block = plan_.blocks[group.block];
  uint8_t* const packed = plan_.levels.data() + group.first_level + lane * block.levels;
  for (const ReadUnit& unit : block.units) {
    const uint8_t* from = levels_.data() + bitline.source + unit.wordlines.first;
    for (int i = 0; i < unit.wordlines.count; ++i) {
      const int in_group = i % mode_.lookup;
      uint8_t* to = packed + unit.first_level + i / mode_.lookup * PackedLevels(mode_.lookup) + in_group / 4;
      *to = static_cast<uint8_t>(*to | from[i] << 2 * (in_group % 4));
    }
  }
}

WholePlan WholeBuilder::Build(int64_t panels) {
  planner_.AddGroups(&bitlines_);
  plan_.levels.resize(plan_.level_count);
  const ReadBitline* bitline = bitlines_.data();
  for (const ReadGroup& group : plan_.groups) {
    for (int64_t lane = 0; lane < group.count; ++lane, ++bitline) {
      mode_.lookup > 0 ? PackLevels(group, *bitline, lane) : AddLevels(group, *bitline, lane);
    }
  }
  planner_.Finish(panels);
  return std::move(plan_);
}

}  // namespace rcompile
