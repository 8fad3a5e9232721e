// Bitlines whose reads may clip, or whose ADC step is not one level, are computed read by read; so are vote groups
// whose replicas differ, if it is the codes of a read that vote.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/aligned_bytes.h"
#include "layer/layer.h"
#include "simd/kernels.h"

namespace rcompile {

// Rows of x that ReadPanel takes at once.
constexpr int kSerialRows = 64;

// How a layer's reads are computed; follows from its attributes alone.
struct SerialMode {
  // With a wide ADC few reads clip: all bitlines are part of the matrix product, and only the reads that have enough
  // driven ones to clip are computed, for the excess that has to be taken away again.
  ReadKind kind;
  int lane_bytes;
  // Of each plane, in the order in which they are driven: its weight, and the bits of a driven code that it drives.
  struct Digit {
    int first_bit;
    int bits;  // of the `dac_bits` that a digit can have
  };
  std::vector<int32_t> plane_weight;
  std::vector<Digit> digits;
  int dac_bits;

  Vote vote;
  // Wordlines of a look-up if the lanes of a vector are reads, of a row of x and a plane each (lane_read_kernel.h); 0
  // if they are bitlines (serial_read_kernel.h).
  int lookup;
  int bitlines;  // of a vector; with look-ups, of a pair
  // With look-ups, of any vector: each lane's plane weight times lane_sign, so that a signed byte holds it, or 0 for a
  // lane without a plane; and the limit without leakage.
  std::array<int8_t, 64> lane_weight;
  std::array<uint8_t, 64> lane_limit;
  int lane_sign;

  // With a vote or if `every_read`, the reads are computed whole, never for their excess.
  SerialMode(const LayerConfig& config, const KernelTable& kernels, Vote vote, bool every_read);
  int planes() const { return static_cast<int>(plane_weight.size()); }
  // With look-ups, lanes of a row: a power of two.
  int row_lanes() const { return planes() <= 4 ? 4 : planes() <= 8 ? 8 : 16; }
  // Per row of x and unit: limits or leaks.
  int terms() const { return lookup > 0 ? row_lanes() : planes(); }

 private:
  void AddDigits(int bits, int sign);
};

// Of 8 * octets codes: patterns [plane][bit][2 * octets] of their digits, times kPatternScale, and the sum of the
// digits in each plane.
void PackPlanes(const uint8_t* coded, int octets, const SerialMode::Digit* digits, int planes, int dac_bits, uint8_t* x,
                int* populations);

// An operation unit of a row block, with its place in what is stored per row of x.
struct SerialUnit {
  OperationUnit wordlines;
  int groups;             // of 8 wordlines, or of as many as a look-up takes
  int64_t x_offset;       // of its [plane][bit][pattern]; with look-ups [pattern][lane of a row]
  int64_t term_offset;    // of its terms
  int64_t number;         // among all units
  int64_t levels_offset;  // of its levels among a bitline's
};

// A bitline's levels of a unit are [bit][wordline], as each bit of a digit drives wordlines of its own with the levels
// doubled from bit to bit, 8 * groups wordlines apart; with look-ups, they are packed.
struct SerialBlock {
  const RowBlock* rows;
  std::vector<SerialUnit> units;
  int64_t levels;  // of a bitline
};

// The bitlines of one row block and one panel, sorted so that lanes mostly hold consecutive outputs.  With a vote, each
// lane is a vote group, and all have equally many replicas.
struct SerialGroup {
  int block;
  int replicas;
  int vectors;         // of SerialMode::bitlines
  int64_t first_lane;  // in `column` and `weight`
  int64_t levels;      // offset of [vector][replica][level][lane]; with look-ups [bitline][packed level]
};

// Everything that a die's bit-serial part needs; immutable once built.
struct SerialPlan {
  std::vector<SerialBlock> blocks;
  std::vector<SerialGroup> groups;
  std::vector<int64_t> panel_begin;  // groups of panel p: panel_begin[p] .. panel_begin[p + 1]
  std::vector<uint8_t> levels;
  std::vector<uint8_t> column;
  // polarity * 2^(cell_bits * slice), negated if inverted and again if kExcess; 0: no bitline in the lane
  std::vector<int32_t> weight;
  // Per row of x:
  int64_t x_size = 0;
  int64_t terms = 0;
  int64_t units = 0;

  bool empty() const { return groups.empty(); }
  bool HasPanel(int64_t panel) const { return !empty() && panel_begin[panel] < panel_begin[panel + 1]; }
};

// Collects bitlines tile by tile.
class SerialBuilder {
 public:
  SerialBuilder(const Layer& layer, const SerialMode& mode) : layer_(layer), mode_(mode) {}

  // `columns`: bitlines of `tile`, which belongs to row block `block`; replica 0 of a vote group may have the others
  // after it.  `levels`: the tile's cells as they really are.
  void AddTile(int block, int64_t tile, const std::vector<int32_t>& columns, const uint8_t* levels);
  SerialPlan Build(int64_t panels);

 private:
  struct Bitline {
    int64_t panel;
    int block;  // of the plan
    int replicas;
    int32_t weight;
    int32_t output;
    int64_t levels;  // offset of its level on the first driven wordline; that of the next replica follows
    int64_t stride;  // from wordline to wordline
  };
  int PlanBlock(int block);
  void AddGroup(const Bitline* first, const Bitline* last);
  void AddLevels(const SerialGroup& group, const Bitline& bitline, int64_t lane);
  void PackLevels(const SerialGroup& group, const Bitline& bitline, int64_t lane);

  const Layer& layer_;
  const SerialMode& mode_;
  SerialPlan plan_;
  std::vector<int> plan_block_;  // of each row block of the layer, -1: none
  std::vector<Bitline> bitlines_;
  std::vector<uint8_t> levels_;
};

// Memory that SerialInputs needs; only grows.
struct SerialStorage {
  AlignedBytes x;
  std::vector<uint16_t> planes;
  std::vector<uint32_t> limits;
  std::vector<uint8_t> lane_limits;
  std::vector<double> leaks;
  std::vector<int64_t> digital;
};

// The bit planes of x, and what depends on their population counts, for all rows of one product.
class SerialInputs {
 public:
  // Keeps references.  Call Reserve, then PackRow for every row, then ReadPanel.  An empty plan costs nothing.
  SerialInputs(const Layer& layer, const SerialMode& mode, const SerialPlan& plan);

  void Reserve(int64_t rows, SerialStorage* storage);
  void PackRow(int64_t row, const int8_t* codes) noexcept;
  // Adds the panel's codes, [rows][kPanelWidth], and the digital terms that belong to them.
  void ReadPanel(const KernelTable& kernels, int64_t panel, int64_t first_row, int rows, int64_t* codes,
                 int64_t* digital) const noexcept;

 private:
  using Populations = std::array<int, 16>;  // by plane

  Populations PackUnit(int64_t row, const SerialBlock& block, const SerialUnit& unit, const int8_t* codes) noexcept;
  int64_t SetTerms(int64_t row, const SerialUnit& unit, const Populations& populations) noexcept;
  // With look-ups, where a row's lanes of a group of wordlines begin, and its limits.
  int64_t LanesOf(int64_t row, const SerialUnit& unit) const noexcept {
    return kSerialRows * (row / kSerialRows * plan_.x_size + unit.x_offset) + row % kSerialRows * mode_.row_lanes();
  }
  int64_t LaneLimitsOf(int64_t row, const SerialUnit& unit) const noexcept {
    return kSerialRows * (row / kSerialRows * plan_.terms + unit.term_offset) + row % kSerialRows * mode_.row_lanes();
  }
  void ReadVector(const KernelTable& kernels, const SerialGroup& group, int vector, int64_t first_row, int rows,
                  int64_t* codes) const noexcept;
  bool ReadUnits(const KernelTable& kernels, const SerialBlock& block, int64_t levels, int64_t first_row,
                 SerialRead* read) const noexcept;
  bool AnyPlane(const SerialUnit& unit, int64_t first_row, int rows) const noexcept;
  void ReadLanes(const KernelTable& kernels, int64_t panel, int64_t first_row, int rows, int64_t* codes) const noexcept;
  LaneRead LaneReadOf(const KernelTable& kernels, const SerialGroup& group, int rows) const noexcept;
  int64_t LaneCodesStride() const noexcept { return kSerialRows * mode_.row_lanes() / 4; }  // from column to column
  void AddLaneCodes(const int32_t* lane_codes, int rows, int64_t* codes) const noexcept;
  void AddDigital(const SerialGroup& group, int64_t first_row, int rows, int64_t* digital) const noexcept;

  const LayerConfig& config_;
  const SerialMode& mode_;
  const SerialPlan& plan_;
  const bool has_leak_;          // limits and leaks differ from row to row
  std::vector<double> leak_of_;  // by population
  std::vector<int64_t> digital_leak_of_;
  SerialStorage* storage_ = nullptr;
};

}  // namespace rcompile
