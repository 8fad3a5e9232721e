// Bitlines that are read one by one although no sum of whole levels stands for them: analog levels behind a real
// converter, reads with noise or errors, and votes on what ideal converters give.  bit_serial.h has the other reads.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "die/cells.h"
#include "die/die.h"
#include "layer/layer.h"
#include "product/bit_serial.h"
#include "simd/kernels.h"

namespace rcompile {

// What reads do to currents, on one layer of one die.
struct AnalogMode {
  AnalogMode(const LayerConfig& config, const Die& die, Vote vote, const SerialMode& serial);

  Conversion conversion;
  Vote vote;
  std::vector<int32_t> plane_weight;  // as SerialMode
  std::vector<SerialMode::Digit> digits;
  int dac_bits;
  uint64_t seed;
  bool has_noise;
  bool reads_silence;  // a read without a driven wordline need not be 0
  WordRange flip;
  int flip_bit;
  // By population of a read:
  std::vector<int32_t> bias;
  std::vector<double> leak;
  std::vector<int64_t> digital_leak;
  std::vector<double> noise;

  int planes() const { return static_cast<int>(plane_weight.size()); }
};

// An operation unit of a row block, with its place in what is stored per row of x.
struct AnalogUnit {
  OperationUnit wordlines;
  int octets;            // groups of 8 wordlines
  uint32_t in_crossbar;  // its number there, those that are not driven included
  int64_t x_offset;      // of its [plane][bit][pattern]
  int64_t number;        // among all units
};

struct AnalogBlock {
  const RowBlock* rows;
  std::vector<AnalogUnit> units;
};

// Bitlines of one tile and one panel.  With a vote, each lane is a vote group, and all have equally many replicas.
struct AnalogGroup {
  int64_t panel;
  int block;
  int64_t tile;  // in the bundle
  int replicas;
  int vectors;         // of kAnalogLanes
  int64_t first_lane;  // in `column` and `weight`
  int64_t bitlines;    // offset of [vector][replica][lane]
  int64_t levels;      // offset of [vector][replica][driven wordline][lane]
};

// Everything that the reads need; immutable once built.
struct AnalogPlan {
  std::vector<AnalogBlock> blocks;
  std::vector<AnalogGroup> groups;
  std::vector<int64_t> panel_begin;  // groups of panel p: panel_begin[p] .. panel_begin[p + 1]
  std::vector<int16_t> levels;
  std::vector<uint8_t> column;
  std::vector<int32_t> weight;  // polarity * 2^(cell_bits * slice), negated if inverted; 0: no bitline in the lane
  std::vector<uint32_t> bitline;
  std::vector<double> gain;  // as `bitline`; kAny only
  std::vector<double> offset;
  // Per row of x:
  int64_t x_size = 0;
  int64_t units = 0;

  bool empty() const { return groups.empty(); }
  bool HasPanel(int64_t panel) const { return !empty() && panel_begin[panel] < panel_begin[panel + 1]; }
};

// Collects bitlines tile by tile.
class AnalogBuilder {
 public:
  // Keeps references.
  AnalogBuilder(const Layer& layer, const AnalogMode& mode, const Die& die, const KernelTable& kernels);

  // `columns`: bitlines of `tile`, which belongs to row block `block`; replica 0 of a vote group may have the others
  // after it.
  void AddTile(int block, int64_t tile, const std::vector<int32_t>& columns, const TileCells& cells);
  AnalogPlan Build(int64_t panels);

 private:
  struct Lane {
    int64_t panel;
    int replicas;
    int slice;
    int polarity;
    int32_t output;
    const int32_t* bitlines;  // replica 0 first
  };
  int PlanBlock(int block);
  void SetConverters(int64_t tile);
  void AddGroup(int block, int64_t tile, const Lane* first, const Lane* last, const TileCells& cells);
  void AddLane(const AnalogGroup& group, int64_t tile, const Lane& lane, int64_t at);
  void AddLevels(const AnalogGroup& group, const Lane* first, const Lane* last, const TileCells& cells);

  const Layer& layer_;
  const LayerArrays& arrays_;
  const AnalogMode& mode_;
  const Die& die_;
  const KernelTable& kernels_;
  AnalogPlan plan_;
  std::vector<int> plan_block_;  // of each row block of the layer, -1: none
  // Of the tile at hand:
  std::vector<Lane> lanes_;
  std::vector<double> gain_;  // by bitline
  std::vector<double> offset_;
};

// Memory that AnalogInputs needs; only grows.
struct AnalogStorage {
  std::vector<uint8_t> x;
  std::vector<uint16_t> planes;
  std::vector<uint16_t> populations;
  std::vector<uint64_t> digests;  // of the rows of input codes
  std::vector<int64_t> digital;
};

// The bit planes of x, for all rows of one product.
class AnalogInputs {
 public:
  // Keeps references.  Call Reserve, then PackRow for every row, then ReadPanel.  An empty plan costs nothing.
  AnalogInputs(const Layer& layer, const AnalogMode& mode, const AnalogPlan& plan)
      : config_(layer.config()), cols_(layer.arrays().cols), mode_(mode), plan_(plan) {}

  void Reserve(int64_t rows, AnalogStorage* storage);
  void PackRow(int64_t row, const int8_t* codes) noexcept;
  // Adds the panel's codes, [rows][kPanelWidth], and the digital terms that belong to them.
  void ReadPanel(const KernelTable& kernels, int64_t panel, int64_t first_row, int rows, int64_t* codes,
                 int64_t* digital) const noexcept;

 private:
  int64_t PackUnit(int64_t row, const AnalogBlock& block, const AnalogUnit& unit, const int8_t* codes) noexcept;
  int64_t SetPopulations(int64_t row, const AnalogUnit& unit, const int* populations) noexcept;
  void ReadVector(const KernelTable& kernels, const AnalogGroup& group, int vector, int64_t first_row,
                  AnalogRead* read) const noexcept;
  void AddDigital(const AnalogGroup& group, int64_t first_row, int rows, int64_t* digital) const noexcept;

  const LayerConfig& config_;
  const int64_t cols_;
  const AnalogMode& mode_;
  const AnalogPlan& plan_;
  AnalogStorage* storage_ = nullptr;
};

}  // namespace rcompile
