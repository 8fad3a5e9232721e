// Reads of whole levels.  Bitlines whose reads may clip, or whose ADC step is not one level, are computed read by read;
// so are vote groups whose replicas differ, if it is the codes of a read that vote.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "product/read_inputs.h"
#include "product/read_plan.h"

namespace rcompile {

// Follows from a layer's attributes alone.
struct WholeMode : ReadMode {
  // With a vote or if `every_read`, the reads are computed whole, never for their excess.
  WholeMode(const LayerConfig& config, const KernelTable& kernels, Vote vote, bool every_read);

  // With a wide ADC few reads clip: all bitlines are part of the matrix product, and only the reads that have enough
  // driven ones to clip are computed, for the excess that has to be taken away again.
  ReadKind kind;
  int lane_bytes;
  bool is_unsigned;  // no plane has a negative weight
  Converter converter;
  // By population; one of them:
  std::vector<uint32_t> limit;
  std::vector<double> leak;  // kStepped
  // With look-ups, of any vector: each lane's plane weight times lane_sign, so that a signed byte holds it, or 0 for a
  // lane without a plane; and the limit without leakage.
  std::array<int8_t, 64> lane_weight;
  std::array<uint8_t, 64> lane_limit;
  int lane_sign;

 private:
  void SetTables(const LayerConfig& config);
};

struct WholePlan : ReadPlan {
  std::vector<uint8_t> levels;
};

// Collects bitlines tile by tile.
class WholeBuilder {
 public:
  // Keeps references.
  WholeBuilder(const Layer& layer, const WholeMode& mode);

  // `columns`: bitlines of `tile`, which belongs to row block `block`; replica 0 of a vote group may have the others
  // after it.  `levels`: the tile's cells as they really are.
  void AddTile(int block, int64_t tile, const Columns& columns, const uint8_t* levels);
  WholePlan Build(int64_t panels);

 private:
  void AddLevels(const ReadGroup& group, const ReadBitline& bitline, int64_t lane);
  void PackLevels(const ReadGroup& group, const ReadBitline& bitline, int64_t lane);

  const Layer& layer_;
  const WholeMode& mode_;
  WholePlan plan_;
  ReadPlanner planner_;
  std::vector<ReadBitline> bitlines_;
  std::vector<uint8_t> levels_;  // [bitline][driven wordline]
};

// Computes the reads of a plan.
class WholeReads {
 public:
  // Keeps references.
  WholeReads(const WholeMode& mode, const WholePlan& plan, const ReadInputs& inputs, const KernelTable& kernels)
      : mode_(mode), plan_(plan), inputs_(inputs), kernels_(kernels) {}

  // Adds the codes of a panel, [rows][kPanelWidth].
  void AddPanel(int64_t panel, int64_t first_row, int rows, int64_t* codes) const noexcept;

 private:
  void ReadVector(const ReadGroup& group, int vector, int64_t first_row, int rows, int64_t* codes) const noexcept;
  bool ReadUnits(const ReadBlock& block, int64_t levels, int64_t first_row, int rows, WholeRead* read) const noexcept;
  void LookUpPanel(int64_t panel, int64_t first_row, int rows, int64_t* codes) const noexcept;
  LookupRead LookupReadOf(const ReadGroup& group, int rows) const noexcept;
  int64_t LaneCodesStride() const noexcept { return inputs_.lanes_stride() / 4; }  // from column to column
  void AddLaneCodes(const int32_t* lane_codes, int rows, int64_t* codes) const noexcept;

  const WholeMode& mode_;
  const WholePlan& plan_;
  const ReadInputs& inputs_;
  const KernelTable& kernels_;
};

}  // namespace rcompile
