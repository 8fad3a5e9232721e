#include "product/read_inputs.h"

#include <algorithm>
#include <cstring>

#include "die/randomness.h"

namespace rcompile {
namespace {

constexpr int kSpareCodes = 8;  // that the last group of a unit may load beyond its wordlines

template <class T>
void Grow(std::vector<T>* vector, int64_t size) {
  if (static_cast<int64_t>(vector->size()) < size) vector->resize(size);
}

}  // namespace

// Of a row of x.
int64_t ReadInputs::GroupBytes() const noexcept {
  return mode_.lookup > 0 ? mode_.row_lanes() : 2 * mode_.dac_bits * static_cast<int64_t>(mode_.planes.size());
}

void ReadInputs::Reserve(int64_t rows, ReadStorage* storage) {
  storage_ = storage;
  if (plan_.empty()) return;
  const int64_t planes = static_cast<int64_t>(mode_.planes.size());
  const int64_t whole = (rows + kReadRows - 1) / kReadRows * kReadRows;  // look-ups read whole vectors
  storage->x.Reserve(static_cast<size_t>(whole * plan_.x_groups * GroupBytes()));
  Grow(&storage->planes, rows * plan_.units);
  Grow(&storage->populations, rows * plan_.units * planes);
  if (!mode_.lane_limits.empty()) Grow(&storage->lane_limits, whole * plan_.units * mode_.row_lanes());
  if (mode_.needs_digests) Grow(&storage->digests, rows);
  if (!mode_.digital.empty()) Grow(&storage->digital, rows * static_cast<int64_t>(plan_.blocks.size()));
}

void ReadInputs::PackRow(int64_t row, const int8_t* codes) noexcept {
  if (plan_.empty()) return;
  if (mode_.needs_digests) storage_->digests[row] = RowDigest(codes, config_.inputs);
  for (size_t b = 0; b < plan_.blocks.size(); ++b) {
    int64_t digital = 0;
    for (const ReadUnit& unit : plan_.blocks[b].units) digital += PackUnit(row, plan_.blocks[b], unit, codes);
    if (!mode_.digital.empty()) storage_->digital[row * plan_.blocks.size() + b] = digital;
  }
}

// Returns what the unit's reads subtract digitally.
int64_t ReadInputs::PackUnit(int64_t row, const ReadBlock& block, const ReadUnit& unit, const int8_t* codes) noexcept {
  const int64_t at = row * plan_.units + unit.number;
  const size_t planes = mode_.planes.size();
  uint16_t* const populations = storage_->populations.data() + at * planes;
  PackPulses(row, block, unit, codes, populations);
  unsigned read = 0;
  for (size_t plane = 0; plane < planes; ++plane) {
    read |= static_cast<unsigned>(mode_.is_read[populations[plane]]) << plane;
  }
  storage_->planes[at] = static_cast<uint16_t>(read);
  if (!mode_.lane_limits.empty()) {
    uint8_t* const limits = storage_->lane_limits.data() + LaneOffset(plan_.units, unit.number, row);
    for (size_t plane = 0; plane < planes; ++plane) limits[plane] = mode_.lane_limits[populations[plane]];
  }
  int64_t digital = 0;
  if (mode_.digital.empty()) return digital;
  for (size_t plane = 0; plane < planes; ++plane)
    digital += mode_.plane_weight[plane] * mode_.digital[populations[plane]];
  return digital;
}

void ReadInputs::PackPulses(int64_t row, const ReadBlock& block, const ReadUnit& unit, const int8_t* codes,
                            uint16_t* populations) noexcept {
  const bool by_sign = config_.input_coding == InputCoding::kSignMagnitude;
  const int passes = by_sign ? 2 : 1;  // the positive planes, then the negative ones
  const size_t planes = mode_.planes.size() / passes;
  const int32_t* inputs = block.rows->inputs.data() + unit.wordlines.first;
  uint8_t coded[kMaxRows + kSpareCodes];
  for (int pass = 0; pass < passes; ++pass) {
    const int sign = pass == 0 ? 1 : -1;
    for (int i = 0; i < unit.wordlines.count; ++i) {
      const int code = codes[inputs[i]];
      coded[i] = static_cast<uint8_t>(by_sign ? std::max(sign * code, 0) : code + config_.input_offset());
    }
    std::memset(coded + unit.wordlines.count, 0, kSpareCodes);
    const size_t first = pass * planes;
    const std::span<const Plane> driven(mode_.planes.data() + first, planes);
    if (mode_.lookup > 0) {
      uint8_t* const x = storage_->x.data() + LaneOffset(plan_.x_groups, unit.first_group, row) + first;
      PackLanes(coded, unit.groups, mode_.lookup, driven, x, lanes_stride(), populations + first);
    } else {
      uint8_t* const x = storage_->x.data() + (row * plan_.x_groups + unit.first_group) * GroupBytes() +
                         2 * static_cast<int64_t>(first) * mode_.dac_bits * unit.groups;
      PackPatterns(coded, unit.groups, driven, mode_.dac_bits, x, populations + first);
    }
  }
}

bool ReadInputs::Get(const ReadUnit& unit, int64_t first_row, int rows, DrivenInputs* inputs) const noexcept {
  const int64_t at = first_row * plan_.units + unit.number;
  const int64_t planes = static_cast<int64_t>(mode_.planes.size());
  inputs->rows = rows;
  inputs->wordlines = unit.wordlines.count;
  inputs->x = storage_->x.data() + (first_row * plan_.x_groups + unit.first_group) * GroupBytes();
  inputs->x_stride = plan_.x_groups * GroupBytes();
  inputs->x_bit_stride = 2 * unit.groups;
  inputs->dac_bits = mode_.dac_bits;
  inputs->planes = storage_->planes.data() + at;
  inputs->planes_stride = plan_.units;
  inputs->populations = storage_->populations.data() + at * planes;
  inputs->populations_stride = plan_.units * planes;
  inputs->plane_weight = mode_.plane_weight.data();
  for (int row = 0; row < rows; ++row) {
    if (inputs->planes[row * inputs->planes_stride] != 0) return true;
  }
  return false;
}

// What a read subtracts digitally is the same for every bitline but for its weight: one sum per row serves a group.
void ReadInputs::SubtractDigital(int64_t panel, int64_t first_row, int rows, int64_t* digital) const noexcept {
  if (mode_.digital.empty()) return;
  for (int64_t g = plan_.panel_begin[panel]; g < plan_.panel_begin[panel + 1]; ++g) {
    const ReadGroup& group = plan_.groups[g];
    int64_t weight[kPanelWidth] = {};
    const int64_t end = group.first_lane + int64_t{group.vectors} * mode_.lanes;
    for (int64_t lane = group.first_lane; lane < end; ++lane) weight[plan_.column[lane]] += plan_.weight[lane];
    for (int row = 0; row < rows; ++row) {
      const int64_t sum = storage_->digital[(first_row + row) * plan_.blocks.size() + group.block];
      if (sum == 0) continue;
      for (int j = 0; j < kPanelWidth; ++j) digital[row * kPanelWidth + j] -= weight[j] * sum;
    }
  }
}

}  // namespace rcompile
