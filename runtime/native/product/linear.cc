#include "product/linear.h"

#include <algorithm>
#include <utility>

namespace rcompile {

LinearBuilder::LinearBuilder(const Layer& layer, const KernelTable& kernels, bool on_grid, int parts)
    : layer_(layer),
      config_(layer.config()),
      arrays_(layer.arrays()),
      kernels_(kernels),
      on_grid_(on_grid),
      parts_(parts),
      panels_((config_.outputs + kPanelWidth - 1) / kPanelWidth),
      panel_size_((config_.inputs + 3) / 4 * 4 * kPanelWidth),
      whole_(on_grid ? 0 : panels_ * panel_size_),
      grid_(on_grid ? panels_ * panel_size_ : 0),
      multiplier_(arrays_.cols),
      offset_(arrays_.cols),
      flip_(arrays_.cols),
      sums_(arrays_.cols) {
  if (config_.input_offset() != 0) ideal_.resize(config_.outputs);
}

void LinearBuilder::AddTile(const RowBlock& block, int64_t tile, const TileCells& cells,
                            const std::vector<int32_t>& worth, const std::vector<uint8_t>& linear) {
  SetTerms(tile, worth, linear);
  FindRuns(tile);
  const DrivenRows driven{block.wordlines.data(), block.inputs.data(), static_cast<int>(block.inputs.size())};
  const int64_t cols = arrays_.cols;
  for (const BitlineRun& run : runs_) {
    const int64_t panel = arrays_.bitline_output[tile * cols + run.first_bitline] / kPanelWidth * panel_size_;
    if (on_grid_) {
      kernels_.fold.accumulate_grid(cells.analog, cols, multiplier_.data(), offset_.data(), driven, run,
                                    grid_.data() + panel);
    } else {
      kernels_.fold.accumulate(cells.levels, cols, flip_.data(), driven, run, whole_.data() + panel);
    }
  }
  if (!ideal_.empty()) AddIdealSums(block, tile, cells.programmed);
}

// What each bitline adds to the effective weights.  One that is not linear leaves only its digital terms, the weight
// offset and, if inverted, top per driven code.
void LinearBuilder::SetTerms(int64_t tile, const std::vector<int32_t>& worth, const std::vector<uint8_t>& linear) {
  const uint8_t top = static_cast<uint8_t>(config_.top_level());
  for (int64_t col = 0; col < arrays_.cols; ++col) {
    const int64_t bitline = tile * arrays_.cols + col;
    multiplier_[col] = offset_[col] = flip_[col] = 0;
    if (worth[col] == 0) continue;
    const int digit = layer_.Digit(bitline) * worth[col];
    const bool inverted = arrays_.bitline_inverted[bitline] != 0;
    if (arrays_.is_computed(bitline)) offset_[col] = layer_.WeightOffset(bitline) * parts_;
    if (inverted && (on_grid_ || !linear[col])) offset_[col] -= digit * top;
    if (linear[col]) {
      multiplier_[col] = inverted && on_grid_ ? -digit : digit;
      flip_[col] = inverted ? top : 0;
    }
    if (on_grid_) offset_[col] *= kGrid;
  }
}

// Consecutive bitlines of consecutive outputs in one panel make one run.
void LinearBuilder::FindRuns(int64_t tile) {
  runs_.clear();
  const int32_t* outputs = arrays_.bitline_output + tile * arrays_.cols;
  for (int64_t col = 0; col < arrays_.cols; ++col) {
    if (multiplier_[col] == 0 && offset_[col] == 0) continue;
    const int column = outputs[col] % kPanelWidth;
    if (!runs_.empty()) {
      BitlineRun& last = runs_.back();
      const bool adjacent = last.first_bitline + last.length == col && outputs[col - 1] + 1 == outputs[col] &&
                            last.first_column + last.length == column;
      const bool alike = on_grid_ || (last.multiplier == multiplier_[col] && last.offset == offset_[col]);
      if (adjacent && alike) {
        ++last.length;
        continue;
      }
    }
    runs_.push_back({static_cast<int>(col), 1, column, static_cast<int16_t>(multiplier_[col]),
                     static_cast<int16_t>(on_grid_ ? 0 : offset_[col])});
  }
}

void LinearBuilder::AddIdealSums(const RowBlock& block, int64_t tile, const uint8_t* programmed) {
  const int64_t count = static_cast<int64_t>(block.inputs.size());
  std::fill(sums_.begin(), sums_.end(), 0);
  kernels_.fold.add_levels(programmed, arrays_.cols, block.wordlines.data(), static_cast<int>(count), sums_.data());
  for (int64_t col = 0; col < arrays_.cols; ++col) {
    const int64_t i = tile * arrays_.cols + col;
    if (!arrays_.is_computed(i)) continue;
    const int64_t sum = arrays_.bitline_inverted[i] ? config_.top_level() * count - sums_[col] : sums_[col];
    int64_t& ideal = ideal_[arrays_.bitline_output[i]];
    ideal += layer_.Digit(i) * sum - layer_.WeightOffset(i) * count;
  }
}

// The driven code of feature k is q_k + input_offset.  The product takes q alone, so that the offset's part is
// input_offset * (sum of effective weights), and hardware.md subtracts input_offset * (sum of ideal weights).
template <class Weight>
void LinearBuilder::AddConstants(const std::vector<Weight>& weights, LinearPart* part) const {
  if (ideal_.empty()) return;
  std::vector<int64_t> constant(panels_ * kPanelWidth);
  for (int64_t panel = 0; panel < panels_; ++panel) {
    int64_t* sums = constant.data() + panel * kPanelWidth;
    const Weight* of_panel = weights.data() + panel * panel_size_;
    for (int64_t k = 0; k < config_.inputs; ++k) {
      for (int j = 0; j < kPanelWidth; ++j) sums[j] += of_panel[k * kPanelWidth + j];
    }
  }
  const int64_t unit = on_grid_ ? kGrid * parts_ : parts_;
  for (int64_t n = 0; n < config_.outputs; ++n) {
    constant[n] = config_.input_offset() * (constant[n] - unit * ideal_[n]);
  }
  if (std::any_of(constant.begin(), constant.end(), [](int64_t c) { return c != 0; })) {
    part->constant = std::move(constant);
  }
}

int LinearBuilder::PlanesOf(int64_t panel) const {
  return on_grid_ ? kernels_.fold.byte_planes(grid_.data() + panel * panel_size_, panel_size_)
         : kernels_.fold.fits_byte(whole_.data() + panel * panel_size_, panel_size_) ? 1
                                                                                     : 2;
}

void LinearBuilder::PackPanels(LinearPart* part) const {
  int64_t planes = 0;
  for (int64_t panel = 0; panel < panels_; ++panel) {
    part->panels.push_back({nullptr, PlanesOf(panel)});
    planes += part->panels.back().planes;
  }
  part->memory = AlignedBytes(planes * panel_size_);
  uint8_t* next = part->memory.data();
  for (int64_t panel = 0; panel < panels_; ++panel) {
    part->panels[panel].bytes = next;
    for (int plane = 0; plane < part->panels[panel].planes; ++plane, next += panel_size_) {
      if (on_grid_) {
        kernels_.fold.pack_grid_plane(grid_.data() + panel * panel_size_, part->quads, plane, next);
      } else {
        kernels_.fold.pack_plane(whole_.data() + panel * panel_size_, part->quads, plane, next);
      }
    }
  }
}

LinearPart LinearBuilder::Build() {
  LinearPart part;
  part.quads = panel_size_ / (4 * kPanelWidth);
  part.plane_size = panel_size_;
  part.unit = 1.f / static_cast<float>(on_grid_ ? kGrid * parts_ : parts_);
  on_grid_ ? AddConstants(grid_, &part) : AddConstants(whole_, &part);
  PackPanels(&part);
  return part;
}

}  // namespace rcompile
