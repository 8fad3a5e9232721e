#include "cells.h"

#include "faults.h"

namespace rcompile {

DieCells::DieCells(const Layer& layer, const Die& die, Combiner combiner, const KernelTable& kernels)
    : layer_(layer), die_(die), combiner_(combiner), kernels_(kernels), resolver_(layer) {
  CheckDie(die, layer.config());
  const auto map = die.maps.find(layer.config().name);
  if (map != die.maps.end()) map_ = &map->second;
}

TileCells DieCells::Load(const RowBlock& block, int64_t tile) {
  const uint8_t* programmed = layer_.ProgrammedLevels(tile, &unpacked_);
  if (map_ == nullptr && !die_.has_stuck_cells()) return {programmed, programmed, true};
  const FaultCount count = MakeLevels(tile, programmed);
  faults_.sa0 += count.sa0;
  faults_.sa1 += count.sa1;
  faults_.between += count.between;
  if (combiner_ == Combiner::kCell || combiner_ == Combiner::kSelect) {
    resolver_.Resolve(combiner_, block, tile, levels_.data());
  }
  return {programmed, levels_.data(), false};
}

FaultCount DieCells::MakeLevels(int64_t tile, const uint8_t* programmed) {
  const LayerArrays& arrays = layer_.arrays();
  const LayerConfig& config = layer_.config();
  const int64_t cells = arrays.cells_per_tile(), number = config.first_tile + tile;
  const uint8_t top = static_cast<uint8_t>(config.top_level());
  levels_.resize(cells);
  const bool simple = map_ == nullptr && die_.between == 0 && die_.cluster_side == 0 && !die_.has_lines();
  if (simple) return kernels_.inject(MakeStuckHash(die_, number), cells, top, programmed, levels_.data());
  codes_.resize(cells);
  if (map_ != nullptr) {
    UnpackFaults(*map_, top, tile * cells, cells, codes_.data());
  } else {
    DrawFaults(die_, number, arrays.rows, arrays.cols, top, kernels_.physics, codes_.data());
  }
  return kernels_.physics.apply_faults(codes_.data(), cells, top, programmed, levels_.data());
}

}  // namespace rcompile
