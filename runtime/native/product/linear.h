// The part of a layer that is linear in the inputs: effective weights, collected tile by tile and packed for the
// product.
#pragma once

#include <cstdint>
#include <vector>

#include "base/aligned_bytes.h"
#include "die/cells.h"
#include "layer/layer.h"
#include "simd/kernels.h"

namespace rcompile {

// Effective weights of kPanelWidth outputs: w = sum over the planes of 256^p * (byte - 128).
struct WeightPanel {
  const uint8_t* bytes;  // [plane][LinearPart::plane_size]
  int planes;
};

struct LinearPart {
  int64_t quads = 0;  // inputs / 4, rounded up
  int64_t plane_size = 0;
  AlignedBytes memory;
  std::vector<WeightPanel> panels;
  std::vector<int64_t> constant;  // added to every result, per column of every panel; empty: all zero
  float unit = 1;                 // what everything is in, in levels
};

class LinearBuilder {
 public:
  // parts: of a digit, that weights are counted in.
  LinearBuilder(const Layer& layer, const KernelTable& kernels, bool on_grid, int parts);

  // worth[col]: parts of its digit that a bitline is worth.  linear[col]: its level sums are part of the product; of
  // the others only the digital terms are.
  void AddTile(const RowBlock& block, int64_t tile, const TileCells& cells, const std::vector<int32_t>& worth,
               const std::vector<uint8_t>& linear);
  LinearPart Build();
  int64_t panels() const { return panels_; }

 private:
  void SetTerms(int64_t tile, const std::vector<int32_t>& worth, const std::vector<uint8_t>& linear);
  void FindRuns(int64_t tile);
  void AddIdealSums(const RowBlock& block, int64_t tile, const uint8_t* programmed);
  template <class Weight>
  void AddConstants(const std::vector<Weight>& weights, LinearPart* part) const;
  int PlanesOf(int64_t panel) const;
  void PackPanels(LinearPart* part) const;

  const Layer& layer_;
  const LayerConfig& config_;
  const LayerArrays& arrays_;
  const KernelTable& kernels_;
  const bool on_grid_;
  const int parts_;
  const int64_t panels_;
  const int64_t panel_size_;    // weights in one panel
  std::vector<int16_t> whole_;  // [panel][input][column]; empty if on the grid
  std::vector<int32_t> grid_;   // the same, on the grid
  std::vector<int64_t> ideal_;  // per output, sum over the inputs of the weight codes as programmed
  // Of the tile at hand, by bitline: weight += multiplier * (level ^ flip) - offset; no flip on the grid.
  std::vector<int32_t> multiplier_;
  std::vector<int32_t> offset_;
  std::vector<uint8_t> flip_;
  std::vector<BitlineRun> runs_;
  std::vector<uint32_t> sums_;
};

}  // namespace rcompile
