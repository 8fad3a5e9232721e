// What the cells of a layer hold on a die, tile by tile.
#pragma once

#include <cstdint>
#include <vector>

#include "die.h"
#include "kernels.h"
#include "layer.h"
#include "vote.h"

namespace rcompile {

// A tile's cells, [rows][cols].
struct TileCells {
  const uint8_t* programmed;
  const uint8_t* levels;
  bool as_programmed;
};

class DieCells {
 public:
  // Keeps references.  Throws Error if the die does not fit the layer.
  DieCells(const Layer& layer, const Die& die, Combiner combiner, const KernelTable& kernels);

  // What the vote groups are computed from; valid until the next call.
  TileCells Load(const RowBlock& block, int64_t tile);
  const FaultCount& faults() const { return faults_; }

 private:
  FaultCount MakeLevels(int64_t tile, const uint8_t* programmed);

  const Layer& layer_;
  const Die& die_;
  const Combiner combiner_;
  const KernelTable& kernels_;
  const FaultMap* map_ = nullptr;
  Resolver resolver_;
  FaultCount faults_;
  // Of the tile at hand:
  std::vector<uint8_t> unpacked_;
  std::vector<uint8_t> levels_;
  std::vector<uint8_t> codes_;  // of its stuck cells
};

}  // namespace rcompile
