// What the cells of a layer hold on a die, tile by tile.
#pragma once

#include <cstdint>
#include <vector>

#include "die/die.h"
#include "die/votes.h"
#include "layer/layer.h"
#include "simd/kernels.h"

namespace rcompile {

// A tile's cells, [rows][cols].
struct TileCells {
  const uint8_t* programmed;
  const uint8_t* levels;  // as programmed if the cells are analog
  const int16_t* analog;  // on the grid; null if levels are whole
  bool as_programmed;
};

class DieCells {
 public:
  // Keeps references.  Throws Error if the die does not fit the layer.
  DieCells(const Layer& layer, const Die& die, Combiner combiner, const KernelTable& kernels);

  // Whether tiles have analog levels; `cell` reads them back, so that levels are whole again.
  bool analog() const { return die_.has_analog_cells() && combiner_ != Combiner::kCell; }
  // What the vote groups are computed from; valid until the next call.
  TileCells Load(const RowBlock& block, int64_t tile);
  const FaultCount& faults() const { return faults_; }

 private:
  bool has_stuck_cells() const { return map_ != nullptr || die_.has_stuck_cells(); }
  void FindStuck(int64_t tile);
  TileCells LoadWhole(const RowBlock& block, int64_t tile, const uint8_t* programmed);
  TileCells LoadAnalog(const RowBlock& block, int64_t tile, const uint8_t* programmed);
  void Count(const FaultCount& faults);

  const Layer& layer_;
  const LayerConfig& config_;
  const LayerArrays& arrays_;
  const Die& die_;
  const Combiner combiner_;
  const KernelTable& kernels_;
  const uint8_t top_;
  const FaultMap* map_ = nullptr;
  CellTables tables_;
  Wires wires_;
  Resolver resolver_;
  FaultCount faults_;
  // Of the tile at hand:
  std::vector<uint8_t> unpacked_;
  std::vector<uint8_t> levels_;
  std::vector<uint8_t> codes_;  // of its stuck cells
  std::vector<int16_t> analog_;
  std::vector<double> scratch_;
};

}  // namespace rcompile
