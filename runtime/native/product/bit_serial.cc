#include "product/bit_serial.h"

#include <algorithm>

namespace rcompile {
namespace {

constexpr int kMaxLanes = 64;
constexpr int kMaxLaneCodes = kSerialRows * 16 / 4;
// 32 bits hold the sums of so many units: 255 levels a read, times 255 for the planes, times 255 for the bitlines.
constexpr int kMaxPendingUnits = 128;

// One lane after the other is one output after the other, all of the same weight.
bool IsRun(const uint8_t* column, const int32_t* weight, int lanes) {
  for (int j = 1; j < lanes; ++j) {
    if (column[j] != column[0] + j || weight[j] != weight[0]) return false;
  }
  return true;
}

}  // namespace

void SerialInputs::ReadPanel(const KernelTable& kernels, int64_t panel, int64_t first_row, int rows, int64_t* codes,
                             int64_t* digital) const noexcept {
  if (!plan_.HasPanel(panel)) return;
  if (mode_.lookup > 0) ReadLanes(kernels, panel, first_row, rows, codes);
  for (int64_t g = plan_.panel_begin[panel]; g < plan_.panel_begin[panel + 1]; ++g) {
    const SerialGroup& group = plan_.groups[g];
    const int vectors = mode_.lookup > 0 ? 0 : group.vectors;
    for (int vector = 0; vector < vectors; ++vector) ReadVector(kernels, group, vector, first_row, rows, codes);
    if (has_leak_) AddDigital(group, first_row, rows, digital);
  }
}

bool SerialInputs::AnyPlane(const SerialUnit& unit, int64_t first_row, int rows) const noexcept {
  for (int64_t row = first_row; row < first_row + rows; ++row) {
    if (storage_->planes[row * plan_.units + unit.number] != 0) return true;
  }
  return false;
}

void SerialInputs::ReadVector(const KernelTable& kernels, const SerialGroup& group, int vector, int64_t first_row,
                              int rows, int64_t* codes) const noexcept {
  const SerialBlock& block = plan_.blocks[group.block];
  const int lanes = mode_.bitlines;
  const int64_t first_lane = group.first_lane + vector * lanes;
  const uint8_t* column = plan_.column.data() + first_lane;
  const int32_t* weight = plan_.weight.data() + first_lane;
  SerialRead read{};
  read.rows = rows;
  read.replicas = group.replicas;
  read.replica_stride = block.levels * lanes;
  const int64_t levels = group.levels + vector * group.replicas * read.replica_stride;
  if (IsRun(column, weight, lanes)) {
    read.codes = codes + column[0];
    read.codes_stride = kPanelWidth;
    read.codes_weight = weight[0];
    ReadUnits(kernels, block, levels, first_row, &read);
    return;
  }
  int64_t lane_codes[kSerialRows * kMaxLanes];
  std::fill_n(lane_codes, rows * lanes, 0);
  read.codes = lane_codes;
  read.codes_stride = lanes;
  read.codes_weight = 1;
  if (!ReadUnits(kernels, block, levels, first_row, &read)) return;
  kernels.reads.scatter(lane_codes, lanes, rows, column, weight, codes);
}

// Completes `read` for each unit of a row block in turn; false if there was nothing to read.
bool SerialInputs::ReadUnits(const KernelTable& kernels, const SerialBlock& block, int64_t levels, int64_t first_row,
                             SerialRead* read) const noexcept {
  read->kind = mode_.kind;
  read->vote = mode_.vote;
  read->lane_bytes = mode_.lane_bytes;
  read->is_unsigned = config_.input_coding == InputCoding::kOffset;
  read->x_stride = plan_.x_size;
  read->planes_stride = plan_.units;
  read->plane_weight = mode_.plane_weight.data();
  read->term_stride = has_leak_ ? plan_.terms : 0;
  read->step = config_.adc_step_levels;
  read->code_max = config_.adc_max();
  bool any = false;
  for (const SerialUnit& unit : block.units) {
    if (!AnyPlane(unit, first_row, read->rows)) continue;
    any = true;
    const int64_t term = has_leak_ ? first_row * plan_.terms + unit.term_offset : 0;
    read->wordlines = 8 * unit.groups * (mode_.dac_bits - 1) + unit.wordlines.count;
    read->levels = plan_.levels.data() + levels + unit.levels_offset * mode_.bitlines;
    read->x = storage_->x.data() + first_row * plan_.x_size + unit.x_offset;
    read->x_plane_stride = 2 * unit.groups * mode_.dac_bits;
    read->planes = storage_->planes.data() + first_row * plan_.units + unit.number;
    read->limit = storage_->limits.data() + term;
    read->leak = storage_->leaks.data() + term;
    (mode_.vote == Vote::kNone ? kernels.reads.serial : kernels.reads.voted)(*read);
  }
  return any;
}

void SerialInputs::ReadLanes(const KernelTable& kernels, int64_t panel, int64_t first_row, int rows,
                             int64_t* codes) const noexcept {
  alignas(64) int32_t lane_codes[kPanelWidth * kMaxLaneCodes];
  const int64_t size = kPanelWidth * LaneCodesStride();
  std::fill_n(lane_codes, size, 0);
  int pending = 0;  // units in lane_codes
  for (int64_t g = plan_.panel_begin[panel]; g < plan_.panel_begin[panel + 1]; ++g) {
    const SerialGroup& group = plan_.groups[g];
    LaneRead read = LaneReadOf(kernels, group, rows);
    read.codes = lane_codes;
    for (const SerialUnit& unit : plan_.blocks[group.block].units) {
      read.groups = unit.groups;
      read.levels = plan_.levels.data() + group.levels + unit.levels_offset;
      read.x = storage_->x.data() + LanesOf(first_row, unit);
      if (has_leak_) read.limit = storage_->lane_limits.data() + LaneLimitsOf(first_row, unit);
      kernels.reads.lanes(read);
      if (++pending < kMaxPendingUnits) continue;
      AddLaneCodes(lane_codes, rows, codes);
      std::fill_n(lane_codes, size, 0);
      pending = 0;
    }
  }
  AddLaneCodes(lane_codes, rows, codes);
}

// What does not differ from unit to unit.
LaneRead SerialInputs::LaneReadOf(const KernelTable& kernels, const SerialGroup& group, int rows) const noexcept {
  const int64_t vector = kernels.vector_bytes;
  LaneRead read{};
  read.bitlines = group.vectors * mode_.bitlines;
  read.bitline_stride = plan_.blocks[group.block].levels;
  read.x_stride = kSerialRows * mode_.row_lanes();
  read.lanes = (rows * mode_.row_lanes() + vector - 1) / vector * vector;
  read.limit = mode_.lane_limit.data();
  read.limit_stride = has_leak_ ? 1 : 0;
  read.plane_weight = mode_.lane_weight.data();
  read.column = plan_.column.data() + group.first_lane;
  read.weight = plan_.weight.data() + group.first_lane;
  read.codes_stride = LaneCodesStride();
  return read;
}

void SerialInputs::AddLaneCodes(const int32_t* lane_codes, int rows, int64_t* codes) const noexcept {
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

// What a read subtracts digitally is the same for every bitline but for its weight: one sum per row serves the group.
void SerialInputs::AddDigital(const SerialGroup& group, int64_t first_row, int rows, int64_t* digital) const noexcept {
  int64_t weight[kPanelWidth] = {};
  const int64_t end = group.first_lane + static_cast<int64_t>(group.vectors) * mode_.bitlines;
  for (int64_t lane = group.first_lane; lane < end; ++lane) weight[plan_.column[lane]] += plan_.weight[lane];
  for (int row = 0; row < rows; ++row) {
    const int64_t sum = storage_->digital[(first_row + row) * plan_.blocks.size() + group.block];
    if (sum == 0) continue;
    for (int j = 0; j < kPanelWidth; ++j) digital[row * kPanelWidth + j] -= weight[j] * sum;
  }
}

}  // namespace rcompile
