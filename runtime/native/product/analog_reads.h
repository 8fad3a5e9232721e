// Reads that no sum of whole levels stands for: analog levels behind a real converter, reads with noise or errors, and
// votes on what ideal converters give.
#pragma once

#include <cstdint>
#include <vector>

#include "die/cells.h"
#include "die/die.h"
#include "product/read_inputs.h"
#include "product/read_plan.h"

namespace rcompile {

// What reads do to currents, on one layer of one die.
struct AnalogMode : ReadMode {
  AnalogMode(const LayerConfig& config, const Die& die, Vote vote);

  Conversion conversion;
  uint64_t seed;
  bool has_noise;
  WordRange flip;
  int flip_bit;
  int adc_bits;
  Converter converter;
  // By population:
  std::vector<int32_t> bias;
  std::vector<double> leak;
  std::vector<double> noise;
};

struct AnalogPlan : ReadPlan {
  std::vector<int16_t> levels;
  // By [vector][replica][lane]:
  std::vector<uint32_t> bitline;
  std::vector<double> gain;  // kAny only
  std::vector<double> offset;
};

// Collects bitlines tile by tile: each tile has groups of its own, as draws belong to it.
class AnalogBuilder {
 public:
  // Keeps references.
  AnalogBuilder(const Layer& layer, const AnalogMode& mode, const Die& die, const KernelTable& kernels);

  // `columns`: bitlines of `tile`, which belongs to row block `block`; replica 0 of a vote group may have the others
  // after it.
  void AddTile(int block, int64_t tile, const Columns& columns, const TileCells& cells);
  AnalogPlan Build(int64_t panels);

 private:
  void DrawConverters(int64_t tile);
  void AddBitlines(const ReadGroup& group, const ReadBitline* bitlines, const int32_t* columns);
  void AddLevels(const ReadGroup& group, const TileCells& cells);

  const Layer& layer_;
  const AnalogMode& mode_;
  const Die& die_;
  const KernelTable& kernels_;
  AnalogPlan plan_;
  ReadPlanner planner_;
  // Of the tile at hand:
  std::vector<ReadBitline> bitlines_;
  std::vector<double> gain_;  // by bitline
  std::vector<double> offset_;
};

// Computes the reads of a plan.
class AnalogReads {
 public:
  // Keeps references.
  AnalogReads(const Layer& layer, const AnalogMode& mode, const AnalogPlan& plan, const ReadInputs& inputs,
              const KernelTable& kernels)
      : layer_(layer), mode_(mode), plan_(plan), inputs_(inputs), kernels_(kernels) {}

  // Adds the codes of a panel, [rows][kPanelWidth].
  void AddPanel(int64_t panel, int64_t first_row, int rows, int64_t* codes) const noexcept;

 private:
  AnalogRead ReadOf(const ReadGroup& group, int vector) const noexcept;
  void ReadVector(const ReadGroup& group, int vector, int64_t first_row, int rows, AnalogRead* read) const noexcept;

  const Layer& layer_;
  const AnalogMode& mode_;
  const AnalogPlan& plan_;
  const ReadInputs& inputs_;
  const KernelTable& kernels_;
};

}  // namespace rcompile
