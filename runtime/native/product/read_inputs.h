// The planes of x, as the reads of a plan take them, for all rows of one product.
#pragma once

#include <cstdint>
#include <vector>

#include "base/aligned_bytes.h"
#include "product/read_plan.h"
#include "simd/reads.h"

namespace rcompile {

// Rows of x that are read at once, at most.
constexpr int kReadRows = 64;

// Memory that ReadInputs needs; only grows.
struct ReadStorage {
  AlignedBytes x;
  std::vector<uint16_t> planes;
  std::vector<uint16_t> populations;
  std::vector<uint8_t> lane_limits;
  std::vector<uint64_t> digests;
  std::vector<int64_t> digital;
};

class ReadInputs {
 public:
  // Keeps references.  Call Reserve, then PackRow for every row, then the rest.  An empty plan costs nothing.
  ReadInputs(const LayerConfig& config, const ReadMode& mode, const ReadPlan& plan)
      : config_(config), mode_(mode), plan_(plan) {}

  void Reserve(int64_t rows, ReadStorage* storage);
  void PackRow(int64_t row, const int8_t* codes) noexcept;

  // Without look-ups, of `rows` rows; false if none of them has a plane to read.
  bool Get(const ReadUnit& unit, int64_t first_row, int rows, DrivenInputs* inputs) const noexcept;
  // With look-ups: the patterns [group][row][lane] of a block of kReadRows rows, from `first_row` on, and where sums
  // are clipped, [row][lane]; null: all alike.
  const uint8_t* lanes(const ReadUnit& unit, int64_t first_row) const noexcept {
    return storage_->x.data() + LaneOffset(plan_.x_groups, unit.first_group, first_row);
  }
  const uint8_t* lane_limits(const ReadUnit& unit, int64_t first_row) const noexcept {
    if (mode_.lane_limits.empty()) return nullptr;
    return storage_->lane_limits.data() + LaneOffset(plan_.units, unit.number, first_row);
  }
  int64_t lanes_stride() const { return int64_t{kReadRows} * mode_.row_lanes(); }  // from group to group
  uint64_t digest(int64_t row) const noexcept { return storage_->digests[row]; }

  // Takes what the reads of a panel subtract digitally from `digital`, [rows][kPanelWidth].
  void SubtractDigital(int64_t panel, int64_t first_row, int rows, int64_t* digital) const noexcept;

 private:
  int64_t PackUnit(int64_t row, const ReadBlock& block, const ReadUnit& unit, const int8_t* codes) noexcept;
  void PackPulses(int64_t row, const ReadBlock& block, const ReadUnit& unit, const int8_t* codes,
                  uint16_t* populations) noexcept;
  int64_t GroupBytes() const noexcept;
  // Of what is stored for `per_row` things, in blocks of kReadRows rows.
  int64_t LaneOffset(int64_t per_row, int64_t number, int64_t row) const noexcept {
    const int64_t block = row / kReadRows * per_row + number;
    return (block * kReadRows + row % kReadRows) * mode_.row_lanes();
  }

  const LayerConfig& config_;
  const ReadMode& mode_;
  const ReadPlan& plan_;
  ReadStorage* storage_ = nullptr;
};

}  // namespace rcompile
