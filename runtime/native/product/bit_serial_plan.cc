#include <algorithm>
#include <tuple>

#include "product/bit_serial.h"

namespace rcompile {
namespace {

// About half of the bits of a plane are set.  If the ADC holds somewhat more than the sum of so many top levels, then
// reads that may clip are rare.
constexpr double kWideAdc = 0.55;

}  // namespace

// The digits of a code of so many bits; the last one may be short.
void SerialMode::AddDigits(int bits, int sign) {
  for (int bit = 0; bit < bits; bit += dac_bits) {
    plane_weight.push_back(sign * (1 << bit));
    digits.push_back({bit, std::min(dac_bits, bits - bit)});
  }
}

SerialMode::SerialMode(const LayerConfig& config, const KernelTable& kernels, Vote voted, bool every_read)
    : dac_bits(config.dac_bits), vote(voted) {
  const int sign_bit = config.input_bits - 1;
  const bool is_offset = config.input_coding == InputCoding::kOffset;
  AddDigits(is_offset ? config.input_bits : sign_bit, 1);
  if (config.input_coding == InputCoding::kSignMagnitude) AddDigits(sign_bit, -1);
  if (config.input_coding == InputCoding::kTwosComplement) {
    plane_weight.push_back(-(1 << sign_bit));
    digits.push_back({sign_bit, 1});
  }
  const int64_t largest_sum = config.active_rows * config.top_digit() * config.top_level();
  const bool wide_adc = static_cast<double>(config.adc_max()) >= kWideAdc * static_cast<double>(largest_sum);
  const bool may_skip = wide_adc && !every_read && vote == Vote::kNone;
  kind = config.adc_step_levels != 1 ? ReadKind::kStepped : may_skip ? ReadKind::kExcess : ReadKind::kClipped;
  lane_bytes = kind == ReadKind::kClipped && config.adc_max() <= 255 ? 1 : largest_sum <= 65535 ? 2 : 4;
  const bool is_narrow = config.cell_bits <= 2 && dac_bits == 1;
  lookup = lane_bytes == 1 && vote == Vote::kNone && is_narrow ? kernels.reads.lookup : 0;
  bitlines = lookup > 0 ? 2 : kernels.vector_bytes / lane_bytes;
  lane_sign = is_offset ? -1 : 1;
  lane_limit.fill(static_cast<uint8_t>(config.adc_max()));
  for (size_t lane = 0; lane < lane_weight.size(); ++lane) {
    const int plane = static_cast<int>(lane) % row_lanes();
    lane_weight[lane] = static_cast<int8_t>(plane < planes() ? lane_sign * plane_weight[plane] : 0);
  }
}

int SerialBuilder::PlanBlock(int block) {
  plan_block_.resize(layer_.row_blocks().size(), -1);
  if (plan_block_[block] >= 0) return plan_block_[block];
  SerialBlock planned{&layer_.row_blocks()[block], {}, 0};
  const int width = mode_.lookup > 0 ? mode_.lookup : 8;
  for (const OperationUnit& wordlines : planned.rows->units) {
    const int groups = (wordlines.count + width - 1) / width;
    const int64_t before = int64_t{8} * groups * (mode_.dac_bits - 1);
    planned.units.push_back({wordlines, groups, plan_.x_size, plan_.terms, plan_.units, planned.levels});
    plan_.x_size += groups * (mode_.lookup > 0 ? mode_.row_lanes() : 2 * mode_.planes() * mode_.dac_bits);
    planned.levels += mode_.lookup > 0 ? groups * PackedLevels(mode_.lookup) : before + wordlines.count;
    plan_.terms += mode_.terms();
    ++plan_.units;
  }
  plan_.blocks.push_back(std::move(planned));
  return plan_block_[block] = static_cast<int>(plan_.blocks.size()) - 1;
}

void SerialBuilder::AddTile(int block, int64_t tile, const std::vector<int32_t>& columns, const uint8_t* levels) {
  const RowBlock& rows = layer_.row_blocks()[block];
  if (columns.empty() || rows.units.empty()) return;
  const LayerArrays& arrays = layer_.arrays();
  const int planned = PlanBlock(block);
  const size_t base = levels_.size();
  const int64_t stride = static_cast<int64_t>(columns.size());
  levels_.resize(base + rows.wordlines.size() * stride);
  uint8_t* target = levels_.data() + base;
  for (const int32_t wordline : rows.wordlines) {
    const uint8_t* row = levels + wordline * arrays.cols;
    for (const int32_t column : columns) *target++ = row[column];
  }
  for (int64_t j = 0; j < stride; ++j) {
    const int64_t i = tile * arrays.cols + columns[j];
    if (arrays.bitline_replica[i] > 0) {
      ++bitlines_.back().replicas;
      continue;
    }
    int32_t weight = arrays.bitline_polarity[i] * (1 << (layer_.config().cell_bits * arrays.bitline_slice[i]));
    if (arrays.bitline_inverted[i]) weight = -weight;
    if (mode_.kind == ReadKind::kExcess) weight = -weight;
    const int32_t output = arrays.bitline_output[i];
    bitlines_.push_back({output / kPanelWidth, planned, 1, weight, output, static_cast<int64_t>(base) + j, stride});
  }
}

void SerialBuilder::AddGroup(const Bitline* first, const Bitline* last) {
  const int64_t count = last - first;
  const SerialBlock& block = plan_.blocks[first->block];
  const int vectors = static_cast<int>((count + mode_.bitlines - 1) / mode_.bitlines);
  const int64_t lanes = int64_t{vectors} * mode_.bitlines;
  const SerialGroup group{first->block, first->replicas, vectors, static_cast<int64_t>(plan_.column.size()),
                          static_cast<int64_t>(plan_.levels.size())};
  plan_.groups.push_back(group);
  plan_.column.resize(group.first_lane + lanes);
  plan_.weight.resize(group.first_lane + lanes);
  plan_.levels.resize(group.levels + lanes * group.replicas * block.levels);
  for (int64_t i = 0; i < count; ++i) {
    plan_.column[group.first_lane + i] = static_cast<uint8_t>(first[i].output % kPanelWidth);
    plan_.weight[group.first_lane + i] = first[i].weight;
    mode_.lookup > 0 ? PackLevels(group, first[i], i) : AddLevels(group, first[i], i);
  }
}

void SerialBuilder::AddLevels(const SerialGroup& group, const Bitline& bitline, int64_t lane) {
  const int lanes = mode_.bitlines;
  const SerialBlock& block = plan_.blocks[group.block];
  for (int r = 0; r < group.replicas; ++r) {
    uint8_t* const levels = plan_.levels.data() + group.levels +
                            (lane / lanes * group.replicas + r) * block.levels * lanes +
                            LanePosition(static_cast<int>(lane % lanes), lanes);
    for (const SerialUnit& unit : block.units) {
      const uint8_t* from = levels_.data() + bitline.levels + r + unit.wordlines.first * bitline.stride;
      for (int bit = 0; bit < mode_.dac_bits; ++bit) {
        uint8_t* to = levels + (unit.levels_offset + 8 * unit.groups * bit) * lanes;
        for (int w = 0; w < unit.wordlines.count; ++w) {
          to[w * lanes] = static_cast<uint8_t>(from[w * bitline.stride] << bit);
        }
      }
    }
  }
}

void SerialBuilder::PackLevels(const SerialGroup& group, const Bitline& bitline, int64_t lane) {
  const SerialBlock& block = plan_.blocks[group.block];
  uint8_t* const packed = plan_.levels.data() + group.levels + lane * block.levels;
  for (const SerialUnit& unit : block.units) {
    const uint8_t* from = levels_.data() + bitline.levels + unit.wordlines.first * bitline.stride;
    for (int i = 0; i < unit.wordlines.count; ++i) {
      const int in_group = i % mode_.lookup;
      uint8_t* to = packed + unit.levels_offset + i / mode_.lookup * PackedLevels(mode_.lookup) + in_group / 4;
      *to = static_cast<uint8_t>(*to | from[i * bitline.stride] << 2 * (in_group % 4));
    }
  }
}

SerialPlan SerialBuilder::Build(int64_t panels) {
  if (bitlines_.empty()) return {};
  std::sort(bitlines_.begin(), bitlines_.end(), [](const Bitline& a, const Bitline& b) {
    return std::tie(a.panel, a.block, a.replicas, a.weight, a.output) <
           std::tie(b.panel, b.block, b.replicas, b.weight, b.output);
  });
  plan_.panel_begin.reserve(panels + 1);
  const Bitline* const end = bitlines_.data() + bitlines_.size();
  for (const Bitline* first = bitlines_.data(); first != end;) {
    const Bitline* last = first;
    const auto place = [](const Bitline& b) { return std::tie(b.panel, b.block, b.replicas); };
    while (last != end && place(*last) == place(*first)) ++last;
    plan_.panel_begin.resize(first->panel + 1, static_cast<int64_t>(plan_.groups.size()));
    AddGroup(first, last);
    first = last;
  }
  plan_.panel_begin.resize(panels + 1, static_cast<int64_t>(plan_.groups.size()));
  return std::move(plan_);
}

}  // namespace rcompile
