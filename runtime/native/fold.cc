#include "fold.h"

#include <algorithm>

namespace rcompile {
namespace {

class Folder {
 public:
  Folder(const Layer& layer, const Die& die, Combiner combiner, const FoldOptions& options);
  std::shared_ptr<const FoldedLayer> Run();

 private:
  void FoldTile(int block, int64_t tile);
  void FindVotes(const RowBlock& block, int64_t tile, const TileCells& cells);
  void Prove(const RowBlock& block, int64_t tile, const uint8_t* levels);
  bool CannotClip(const RowBlock& block) const;
  void FindRuns(int64_t tile);
  bool RunContributionOf(int64_t bitline, int64_t col, BitlineRun* run) const;
  void AddIdealSums(const RowBlock& block, int64_t tile, const uint8_t* programmed);
  void PackPanels();
  void AddConstants();

  const int16_t* PanelWeights(int64_t panel) const { return weights_.data() + panel * panel_size_; }

  const Layer& layer_;
  const LayerConfig& config_;
  const LayerArrays& arrays_;
  const Combiner combiner_;
  const KernelTable& kernels_;
  const bool can_prove_;
  const int64_t panel_count_;
  const int64_t panel_size_;  // weights in one panel
  std::shared_ptr<FoldedLayer> folded_;
  SerialBuilder single_;
  SerialBuilder voted_;
  DieCells cells_;
  std::vector<int16_t> weights_;  // [panel][input][column]
  std::vector<int64_t> ideal_;    // per output, sum over the inputs of the weight codes as programmed
  // Of the tile at hand:
  std::vector<uint32_t> sums_;
  std::vector<uint8_t> collapses_;
  std::vector<uint8_t> votes_;  // its code is voted in each read
  std::vector<uint8_t> flip_;
  std::vector<int32_t> single_columns_;
  std::vector<int32_t> voted_columns_;  // with their replicas
  std::vector<BitlineRun> runs_;
};

int64_t Quads(const LayerConfig& config) { return (config.inputs + 3) / 4; }

Vote VoteInReads(Combiner combiner) {
  return combiner == Combiner::kMedian ? Vote::kMedian : combiner == Combiner::kMean ? Vote::kMean : Vote::kNone;
}

Folder::Folder(const Layer& layer, const Die& die, Combiner combiner, const FoldOptions& options)
    : layer_(layer),
      config_(layer.config()),
      arrays_(layer.arrays()),
      combiner_(combiner),
      kernels_(*options.kernels),
      can_prove_(config_.adc_step_levels == 1 && !options.force_bit_serial),
      panel_count_((config_.outputs + kPanelWidth - 1) / kPanelWidth),
      panel_size_(Quads(config_) * 4 * kPanelWidth),
      folded_(std::make_shared<FoldedLayer>(
          SerialMode(config_, kernels_, Vote::kNone, options.force_bit_serial),
          SerialMode(config_, kernels_, VoteInReads(combiner), true))),
      single_(layer, folded_->single.mode),
      voted_(layer, folded_->voted.mode),
      cells_(layer, die, combiner, kernels_),
      weights_(panel_count_ * panel_size_),
      sums_(arrays_.cols),
      collapses_(arrays_.cols),
      votes_(arrays_.cols),
      flip_(arrays_.cols) {
  if (config_.input_offset() != 0) ideal_.resize(config_.outputs);
}

std::shared_ptr<const FoldedLayer> Folder::Run() {
  const auto& blocks = layer_.row_blocks();
  for (size_t block = 0; block < blocks.size(); ++block) {
    for (const int64_t tile : blocks[block].tiles) FoldTile(static_cast<int>(block), tile);
  }
  folded_->single.plan = single_.Build(panel_count_);
  folded_->voted.plan = voted_.Build(panel_count_);
  folded_->faults = cells_.faults();
  AddConstants();
  PackPanels();
  return folded_;
}

// Replicas that hold the same levels read the same codes, so that there is nothing to vote on.
void Folder::FindVotes(const RowBlock& block, int64_t tile, const TileCells& cells) {
  voted_columns_.clear();
  std::fill(votes_.begin(), votes_.end(), 0);
  if (VoteInReads(combiner_) == Vote::kNone || cells.as_programmed) return;
  const int32_t* bitlines = layer_.votes(tile).bitlines.data();
  for (const int replicas : layer_.votes(tile).replicas) {
    if (!HoldAlike(cells.levels, arrays_.cols, block, bitlines, replicas)) {
      votes_[bitlines[0]] = 1;
      voted_columns_.insert(voted_columns_.end(), bitlines, bitlines + replicas);
    }
    bitlines += replicas;
  }
}

void Folder::FoldTile(int block_index, int64_t tile) {
  const RowBlock& block = layer_.row_blocks()[block_index];
  const TileCells cells = cells_.Load(block, tile);
  const uint8_t* levels = cells.levels;
  const uint8_t* inverted = arrays_.bitline_inverted + tile * arrays_.cols;
  const uint8_t top = static_cast<uint8_t>(config_.top_level());
  for (int64_t col = 0; col < arrays_.cols; ++col) flip_[col] = inverted[col] ? top : 0;
  FindVotes(block, tile, cells);
  Prove(block, tile, levels);
  FindRuns(tile);
  const DrivenRows driven{block.wordlines.data(), block.inputs.data(), static_cast<int>(block.inputs.size())};
  for (const BitlineRun& run : runs_) {
    const int64_t output = arrays_.bitline_output[tile * arrays_.cols + run.first_bitline];
    int16_t* panel = weights_.data() + output / kPanelWidth * panel_size_;
    kernels_.accumulate(levels, arrays_.cols, flip_.data(), driven, run, panel);
  }
  single_.AddTile(block_index, tile, single_columns_, levels);
  voted_.AddTile(block_index, tile, voted_columns_, levels);
  if (!ideal_.empty()) AddIdealSums(block, tile, cells.programmed);
}

// No read of the row block can reach the ADC's full scale, whatever the levels.
bool Folder::CannotClip(const RowBlock& block) const {
  return std::all_of(block.units.begin(), block.units.end(), [this](const OperationUnit& unit) {
    return int64_t{unit.count} * config_.top_level() + config_.DigitalLeak(unit.count) <= config_.adc_max();
  });
}

void Folder::Prove(const RowBlock& block, int64_t tile, const uint8_t* levels) {
  const int64_t cols = arrays_.cols;
  std::fill(collapses_.begin(), collapses_.end(), can_prove_);
  if (can_prove_ && !CannotClip(block)) {
    for (const OperationUnit& unit : block.units) {
      std::fill(sums_.begin(), sums_.end(), 0);
      kernels_.add_levels(levels, cols, block.wordlines.data() + unit.first, unit.count, sums_.data());
      const int64_t limit = config_.adc_max() - config_.DigitalLeak(unit.count);
      for (int64_t col = 0; col < cols; ++col) collapses_[col] &= static_cast<int64_t>(sums_[col]) <= limit;
    }
  }
  single_columns_.clear();
  for (int64_t col = 0; col < cols; ++col) {
    if (!arrays_.is_computed(tile * cols + col) || votes_[col]) continue;
    if (collapses_[col]) {
      ++folded_->collapsed;
    } else {
      single_columns_.push_back(static_cast<int32_t>(col));
    }
  }
}

// What a bitline adds to the effective weights; false if nothing.  A bitline that is read serially leaves only its
// digital terms, the weight offset and, if inverted, top per driven code, unless the reads give just the excess.
bool Folder::RunContributionOf(int64_t bitline, int64_t col, BitlineRun* run) const {
  if (!arrays_.is_computed(bitline)) return false;
  const int slice = arrays_.bitline_slice[bitline];
  const int scale = arrays_.bitline_polarity[bitline] * (1 << (config_.cell_bits * slice));
  int offset = slice == config_.slices() - 1 ? config_.weight_offset() : 0;
  const bool linear = !votes_[col] && (collapses_[col] || folded_->single.mode.kind == ReadKind::kExcess);
  if (!linear && arrays_.bitline_inverted[bitline]) offset -= scale * config_.top_level();
  run->first_bitline = static_cast<int>(col);
  run->length = 1;
  run->first_column = arrays_.bitline_output[bitline] % kPanelWidth;
  run->multiplier = static_cast<int16_t>(linear ? scale : 0);
  run->offset = static_cast<int16_t>(offset);
  return run->multiplier != 0 || run->offset != 0;
}

// Consecutive bitlines of consecutive outputs in one panel make one run.
void Folder::FindRuns(int64_t tile) {
  runs_.clear();
  const int32_t* outputs = arrays_.bitline_output + tile * arrays_.cols;
  for (int64_t col = 0; col < arrays_.cols; ++col) {
    BitlineRun next;
    if (!RunContributionOf(tile * arrays_.cols + col, col, &next)) continue;
    if (!runs_.empty()) {
      BitlineRun& last = runs_.back();
      const bool adjacent = last.first_bitline + last.length == col && outputs[col - 1] + 1 == outputs[col] &&
                            last.first_column + last.length == next.first_column;
      if (adjacent && last.multiplier == next.multiplier && last.offset == next.offset) {
        ++last.length;
        continue;
      }
    }
    runs_.push_back(next);
  }
}

void Folder::AddIdealSums(const RowBlock& block, int64_t tile, const uint8_t* programmed) {
  const int64_t count = static_cast<int64_t>(block.inputs.size());
  std::fill(sums_.begin(), sums_.end(), 0);
  kernels_.add_levels(programmed, arrays_.cols, block.wordlines.data(), static_cast<int>(count), sums_.data());
  for (int64_t col = 0; col < arrays_.cols; ++col) {
    const int64_t i = tile * arrays_.cols + col;
    if (!arrays_.is_computed(i)) continue;
    const int slice = arrays_.bitline_slice[i];
    const int64_t sum = arrays_.bitline_inverted[i] ? config_.top_level() * count - sums_[col] : sums_[col];
    int64_t& ideal = ideal_[arrays_.bitline_output[i]];
    ideal += arrays_.bitline_polarity[i] * (1 << (config_.cell_bits * slice)) * sum;
    if (slice == config_.slices() - 1) ideal -= config_.weight_offset() * count;
  }
}

// The driven code of feature k is q_k + input_offset.  The product below takes q alone, so that the offset's part is
// input_offset * (sum of effective weights), and hardware.md subtracts input_offset * (sum of ideal weights).
void Folder::AddConstants() {
  if (ideal_.empty()) return;
  std::vector<int64_t> constant(panel_count_ * kPanelWidth);
  for (int64_t panel = 0; panel < panel_count_; ++panel) {
    int64_t* sums = constant.data() + panel * kPanelWidth;
    const int16_t* weights = PanelWeights(panel);
    for (int64_t k = 0; k < config_.inputs; ++k) {
      for (int j = 0; j < kPanelWidth; ++j) sums[j] += weights[k * kPanelWidth + j];
    }
  }
  for (int64_t n = 0; n < config_.outputs; ++n) constant[n] = config_.input_offset() * (constant[n] - ideal_[n]);
  if (std::any_of(constant.begin(), constant.end(), [](int64_t c) { return c != 0; })) {
    folded_->constant = std::move(constant);
  }
}

void Folder::PackPanels() {
  std::vector<bool> is_wide(panel_count_);
  int64_t planes = panel_count_;
  for (int64_t panel = 0; panel < panel_count_; ++panel) {
    is_wide[panel] = !kernels_.fits_byte(PanelWeights(panel), panel_size_);
    planes += is_wide[panel];
  }
  folded_->quads = Quads(config_);
  folded_->memory = AlignedBytes(planes * panel_size_);
  uint8_t* next = folded_->memory.data();
  for (int64_t panel = 0; panel < panel_count_; ++panel) {
    uint8_t* low = next;
    uint8_t* high = is_wide[panel] ? low + panel_size_ : nullptr;
    kernels_.pack_panel(PanelWeights(panel), folded_->quads, low, high);
    folded_->panels.push_back({low, high});
    next += is_wide[panel] ? 2 * panel_size_ : panel_size_;
  }
}

}  // namespace

std::shared_ptr<const FoldedLayer> FoldLayer(const Layer& layer, const Die& die, Combiner combiner,
                                             const FoldOptions& options) {
  return Folder(layer, die, combiner, options).Run();
}

}  // namespace rcompile
