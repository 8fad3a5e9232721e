#include "product/read_plan.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace rcompile {

ReadMode::ReadMode(const LayerConfig& config, Vote voted)
    : planes(PlanesOf(config)), dac_bits(config.dac_bits), vote(voted) {
  for (const Plane& plane : planes) plane_weight.push_back(plane.weight);
}

bool AreConsecutive(const uint8_t* column, int lanes) {
  for (int j = 1; j < lanes; ++j) {
    if (column[j] != column[0] + j) return false;
  }
  return true;
}

int ReadPlanner::PlanBlock(int block) {
  plan_block_.resize(layer_.row_blocks().size(), -1);
  if (plan_block_[block] >= 0) return plan_block_[block];
  ReadBlock planned{&layer_.row_blocks()[block], {}, 0};
  const int width = mode_.lookup > 0 ? mode_.lookup : 8;
  for (const OperationUnit& wordlines : planned.rows->units) {
    const int64_t in_crossbar = planned.rows->wordlines[wordlines.first] / layer_.config().active_rows;
    const int groups = (wordlines.count + width - 1) / width;
    planned.units.push_back({wordlines, in_crossbar, plan_.units, groups, plan_.x_groups, planned.levels});
    planned.levels += mode_.lookup > 0 ? groups * PackedLevels(mode_.lookup) : wordlines.count;
    plan_.x_groups += groups;
    ++plan_.units;
  }
  plan_.blocks.push_back(std::move(planned));
  return plan_block_[block] = static_cast<int>(plan_.blocks.size()) - 1;
}

void ReadPlanner::Collect(int block, int64_t tile, const Columns& columns, std::vector<ReadBitline>* bitlines) {
  if (columns.bitlines.empty() || layer_.row_blocks()[block].units.empty()) return;
  const LayerArrays& arrays = layer_.arrays();
  const int planned = PlanBlock(block);
  for (size_t j = 0; j < columns.bitlines.size(); ++j) {
    const int32_t column = columns.bitlines[j];
    const int64_t i = tile * arrays.cols + column;
    if (mode_.vote != Vote::kNone && arrays.bitline_replica[i] > 0) {
      ++bitlines->back().replicas;
      continue;
    }
    const int32_t digit = layer_.Digit(i) * (*columns.worth)[column];
    const int32_t weight = mode_.sign * (arrays.bitline_inverted[i] ? -digit : digit);
    const int32_t output = arrays.bitline_output[i];
    bitlines->push_back({output / kPanelWidth, planned, tile, 1, weight, output, static_cast<int64_t>(j)});
  }
}

void ReadPlanner::AddGroups(std::vector<ReadBitline>* bitlines) {
  const auto key = [](const ReadBitline& b) { return std::tie(b.panel, b.block, b.replicas, b.weight, b.output); };
  const auto group = [](const ReadBitline& b) { return std::tie(b.panel, b.block, b.replicas); };
  std::sort(bitlines->begin(), bitlines->end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
  const ReadBitline* const end = bitlines->data() + bitlines->size();
  for (const ReadBitline* first = bitlines->data(); first != end;) {
    const ReadBitline* last = first;
    while (last != end && group(*last) == group(*first)) ++last;
    AddGroup(first, last);
    first = last;
  }
}

void ReadPlanner::AddGroup(const ReadBitline* first, const ReadBitline* last) {
  const int64_t count = last - first;
  const int vectors = static_cast<int>((count + mode_.lanes - 1) / mode_.lanes);
  const int64_t lanes = int64_t{vectors} * mode_.lanes;
  const int64_t first_lane = static_cast<int64_t>(plan_.column.size());
  plan_.groups.push_back({first->panel, first->block, first->tile, first->replicas, count, vectors, first_lane,
                          plan_.replica_count, plan_.level_count});
  plan_.replica_count += lanes * first->replicas;
  plan_.level_count += lanes * first->replicas * plan_.blocks[first->block].levels;
  for (const ReadBitline* bitline = first; bitline != last; ++bitline) {
    plan_.column.push_back(static_cast<uint8_t>(bitline->output % kPanelWidth));
    plan_.weight.push_back(bitline->weight);
  }
  // Lanes without a bitline go on in the panel if they can, so that a run does not end with them.
  for (int64_t lane = count; lane < lanes; ++lane) {
    plan_.column.push_back(static_cast<uint8_t>(std::min(plan_.column.back() + 1, kPanelWidth - 1)));
  }
  plan_.weight.resize(plan_.column.size());
}

void ReadPlanner::Finish(int64_t panels) {
  std::vector<ReadGroup>& groups = plan_.groups;
  std::stable_sort(groups.begin(), groups.end(), [](const auto& a, const auto& b) { return a.panel < b.panel; });
  for (size_t g = 0; g < groups.size(); ++g) {
    plan_.panel_begin.resize(groups[g].panel + 1, static_cast<int64_t>(g));
  }
  plan_.panel_begin.resize(panels + 1, static_cast<int64_t>(groups.size()));
}

}  // namespace rcompile
