#include "product/whole_reads.h"

#include <algorithm>

namespace rcompile {
namespace {

constexpr int kMaxLanes = 64;
constexpr int kMaxLaneCodes = kReadRows * kMaxPlanes / 4;
// 32 bits hold the sums of so many units: 255 levels a read, times 255 for the planes, times 255 for the digits.
constexpr int kMaxPendingUnits = 128;

}  // namespace

void WholeReads::AddPanel(int64_t panel, int64_t first_row, int rows, int64_t* codes) const noexcept {
  if (mode_.lookup > 0) return LookUpPanel(panel, first_row, rows, codes);
  for (int64_t g = plan_.panel_begin[panel]; g < plan_.panel_begin[panel + 1]; ++g) {
    const ReadGroup& group = plan_.groups[g];
    for (int vector = 0; vector < group.vectors; ++vector) ReadVector(group, vector, first_row, rows, codes);
  }
}

void WholeReads::ReadVector(const ReadGroup& group, int vector, int64_t first_row, int rows,
                            int64_t* codes) const noexcept {
  const ReadBlock& block = plan_.blocks[group.block];
  const int lanes = mode_.lanes;
  const int64_t first_lane = group.first_lane + int64_t{vector} * lanes;
  const uint8_t* column = plan_.column.data() + first_lane;
  const int32_t* weight = plan_.weight.data() + first_lane;
  WholeRead read{};
  read.replicas = group.replicas;
  read.replica_stride = block.levels * lanes;
  const int64_t levels = group.first_level + vector * group.replicas * read.replica_stride;
  const bool same_weight = std::all_of(weight, weight + lanes, [weight](int32_t w) { return w == weight[0]; });
  if (same_weight && AreConsecutive(column, lanes)) {
    read.codes = codes + column[0];
    read.codes_stride = kPanelWidth;
    read.codes_weight = weight[0];
    ReadUnits(block, levels, first_row, rows, &read);
    return;
  }
  int64_t lane_codes[kReadRows * kMaxLanes];
  std::fill_n(lane_codes, rows * lanes, 0);
  read.codes = lane_codes;
  read.codes_stride = lanes;
  read.codes_weight = 1;
  if (!ReadUnits(block, levels, first_row, rows, &read)) return;
  kernels_.reads.scatter(lane_codes, lanes, rows, column, weight, codes);
}

// Completes `read` for each unit of a row block in turn; false if there was nothing to read.
bool WholeReads::ReadUnits(const ReadBlock& block, int64_t levels, int64_t first_row, int rows,
                           WholeRead* read) const noexcept {
  read->kind = mode_.kind;
  read->vote = mode_.vote;
  read->lane_bytes = mode_.lane_bytes;
  read->is_unsigned = mode_.is_unsigned;
  read->limit = mode_.limit.data();
  read->leak = mode_.leak.data();
  read->converter = mode_.converter;
  bool any = false;
  for (const ReadUnit& unit : block.units) {
    if (!inputs_.Get(unit, first_row, rows, &read->inputs)) continue;
    any = true;
    read->levels = plan_.levels.data() + levels + unit.first_level * mode_.lanes;
    (mode_.vote == Vote::kNone ? kernels_.reads.whole : kernels_.reads.voted)(*read);
  }
  return any;
}

void WholeReads::LookUpPanel(int64_t panel, int64_t first_row, int rows, int64_t* codes) const noexcept {
  alignas(64) int32_t lane_codes[kPanelWidth * kMaxLaneCodes];
  const int64_t size = kPanelWidth * LaneCodesStride();
  std::fill_n(lane_codes, size, 0);
  int pending = 0;  // units in lane_codes
  for (int64_t g = plan_.panel_begin[panel]; g < plan_.panel_begin[panel + 1]; ++g) {
    const ReadGroup& group = plan_.groups[g];
    LookupRead read = LookupReadOf(group, rows);
    read.codes = lane_codes;
    for (const ReadUnit& unit : plan_.blocks[group.block].units) {
      read.groups = unit.groups;
      read.levels = plan_.levels.data() + group.first_level + unit.first_level;
      read.x = inputs_.lanes(unit, first_row);
      if (read.limit_stride > 0) read.limit = inputs_.lane_limits(unit, first_row);
      kernels_.reads.lookup(read);
      if (++pending < kMaxPendingUnits) continue;
      AddLaneCodes(lane_codes, rows, codes);
      std::fill_n(lane_codes, size, 0);
      pending = 0;
    }
  }
  AddLaneCodes(lane_codes, rows, codes);
}

// What does not differ from unit to unit.
LookupRead WholeReads::LookupReadOf(const ReadGroup& group, int rows) const noexcept {
  const int64_t vector = kernels_.vector_bytes;
  LookupRead read{};
  read.bitlines = group.vectors * mode_.lanes;
  read.bitline_stride = plan_.blocks[group.block].levels;
  read.x_stride = inputs_.lanes_stride();
  read.lanes = (rows * mode_.row_lanes() + vector - 1) / vector * vector;
  read.limit = mode_.lane_limit.data();
  read.limit_stride = mode_.lane_limits.empty() ? 0 : 1;
  read.plane_weight = mode_.lane_weight.data();
  read.column = plan_.column.data() + group.first_lane;
  read.weight = plan_.weight.data() + group.first_lane;
  read.codes_stride = LaneCodesStride();
  return read;
}

void WholeReads::AddLaneCodes(const int32_t* lane_codes, int rows, int64_t* codes) const noexcept {
  const int parts = mode_.row_lanes() / 4;
  for (int column = 0; column < kPanelWidth; ++column) {
    const int32_t* from = lane_codes + column * LaneCodesStride();
    for (int row = 0; row < rows; ++row, from += parts) {
      int64_t sum = 0;
      for (int i = 0; i < parts; ++i) sum += from[i];
      codes[row * kPanelWidth + column] += mode_.lane_sign * sum;
    }
  }
}

}  // namespace rcompile
