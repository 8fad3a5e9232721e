#include "product/fold.h"

#include <algorithm>

namespace rcompile {
namespace {

class Folder {
 public:
  Folder(const Layer& layer, const Die& die, Combiner combiner, const FoldOptions& options);
  std::shared_ptr<const FoldedLayer> Run();

 private:
  void FoldTile(int block, int64_t tile);
  void FindWorth(int64_t tile);
  void FindVotes(const RowBlock& block, int64_t tile, const TileCells& cells);
  void Prove(const RowBlock& block, int64_t tile, const uint8_t* levels);
  bool CannotClip(const RowBlock& block) const;
  void CollapseTogether(int64_t tile);

  const LayerConfig& config_;
  const LayerArrays& arrays_;
  const Layer& layer_;
  const Combiner combiner_;
  const KernelTable& kernels_;
  DieCells cells_;
  const bool is_ideal_;      // the converter
  const bool reads_differ_;  // so that nothing is linear
  const bool analog_reads_;
  const bool on_grid_;  // the linear part
  const bool can_prove_;
  std::shared_ptr<FoldedLayer> folded_;
  LinearBuilder linear_;
  WholeBuilder single_;
  WholeBuilder voted_;
  AnalogBuilder analog_;
  // Of the tile at hand:
  std::vector<uint32_t> sums_;
  std::vector<uint8_t> collapses_;
  std::vector<uint8_t> votes_;      // its code is voted in each read
  std::vector<uint8_t> is_linear_;  // its level sums are part of the product
  std::vector<int32_t> worth_;      // parts of its digit; 0: not computed
  Columns single_columns_;
  Columns voted_columns_;  // with their replicas
};

Vote VoteInReads(Combiner combiner) {
  return combiner == Combiner::kMedian ? Vote::kMedian : combiner == Combiner::kMean ? Vote::kMean : Vote::kNone;
}

std::shared_ptr<FoldedLayer> EmptyLayer(const LayerConfig& config, const Die& die, Combiner combiner,
                                        const FoldOptions& options) {
  const Vote vote = VoteInReads(combiner);
  const WholeMode single(config, *options.kernels, Vote::kNone, options.force_bit_serial);
  const WholeMode voted(config, *options.kernels, vote, true);
  return std::make_shared<FoldedLayer>(single, voted, AnalogMode(config, die, vote));
}

Folder::Folder(const Layer& layer, const Die& die, Combiner combiner, const FoldOptions& options)
    : config_(layer.config()),
      arrays_(layer.arrays()),
      layer_(layer),
      combiner_(combiner),
      kernels_(*options.kernels),
      cells_(layer, die, combiner, kernels_),
      is_ideal_(config_.adc_bits == 0),
      reads_differ_(die.reads_differ()),
      analog_reads_(reads_differ_ || cells_.analog() || (is_ideal_ && combiner == Combiner::kMean)),
      on_grid_(cells_.analog() && is_ideal_ && !reads_differ_),
      can_prove_(config_.counts_levels() && !options.force_bit_serial && !reads_differ_ &&
                 (is_ideal_ || !cells_.analog())),
      folded_(EmptyLayer(config_, die, combiner, options)),
      linear_(layer, kernels_, on_grid_, PartsOf(combiner)),
      single_(layer, folded_->single.mode),
      voted_(layer, folded_->voted.mode),
      analog_(layer, folded_->analog.mode, die, kernels_),
      sums_(arrays_.cols),
      collapses_(arrays_.cols),
      votes_(arrays_.cols),
      is_linear_(arrays_.cols),
      worth_(arrays_.cols),
      single_columns_{{}, &worth_},
      voted_columns_{{}, &worth_} {
  const bool in_levels = !is_ideal_ || !analog_reads_ || on_grid_;
  folded_->flips = ActivationFlips(die, layer);
  folded_->code_step = in_levels ? config_.adc_step_levels : 1. / kGrid;
}

std::shared_ptr<const FoldedLayer> Folder::Run() {
  const auto& blocks = layer_.row_blocks();
  for (size_t block = 0; block < blocks.size(); ++block) {
    for (const int64_t tile : blocks[block].tiles) FoldTile(static_cast<int>(block), tile);
  }
  folded_->single.plan = single_.Build(linear_.panels());
  folded_->voted.plan = voted_.Build(linear_.panels());
  folded_->analog.plan = analog_.Build(linear_.panels());
  folded_->linear = linear_.Build();
  folded_->faults = cells_.faults();
  return folded_;
}

// Replicas that hold the same levels read the same codes, so that there is nothing to vote on, unless each read
// differs.
void Folder::FindVotes(const RowBlock& block, int64_t tile, const TileCells& cells) {
  voted_columns_.bitlines.clear();
  std::fill(votes_.begin(), votes_.end(), 0);
  if (VoteInReads(combiner_) == Vote::kNone || (cells.as_programmed && !reads_differ_)) return;
  const int32_t* bitlines = layer_.votes(tile).bitlines.data();
  for (const int replicas : layer_.votes(tile).replicas) {
    const bool alike = cells.analog != nullptr ? HoldAlike(cells.analog, arrays_.cols, block, bitlines, replicas)
                                               : HoldAlike(cells.levels, arrays_.cols, block, bitlines, replicas);
    if (!alike || reads_differ_) {
      votes_[bitlines[0]] = 1;
      voted_columns_.bitlines.insert(voted_columns_.bitlines.end(), bitlines, bitlines + replicas);
    }
    bitlines += replicas;
  }
}

void Folder::FoldTile(int block_index, int64_t tile) {
  const RowBlock& block = layer_.row_blocks()[block_index];
  const TileCells cells = cells_.Load(block, tile);
  FindWorth(tile);
  FindVotes(block, tile, cells);
  Prove(block, tile, cells.levels);
  const bool all = folded_->single.mode.kind == ReadKind::kExcess && !analog_reads_;
  for (int64_t col = 0; col < arrays_.cols; ++col) is_linear_[col] = !votes_[col] && (collapses_[col] || all);
  linear_.AddTile(block, tile, cells, worth_, is_linear_);
  if (analog_reads_) {
    analog_.AddTile(block_index, tile, single_columns_, cells);
    analog_.AddTile(block_index, tile, voted_columns_, cells);
  } else {
    single_.AddTile(block_index, tile, single_columns_, cells.levels);
    voted_.AddTile(block_index, tile, voted_columns_, cells.levels);
  }
}

void Folder::FindWorth(int64_t tile) {
  const int parts = PartsOf(combiner_);
  for (int64_t col = 0; col < arrays_.cols; ++col) {
    worth_[col] = arrays_.is_computed(tile * arrays_.cols + col) ? parts : 0;
  }
  if (parts == 1) return;
  const int32_t* bitlines = layer_.votes(tile).bitlines.data();
  for (const int replicas : layer_.votes(tile).replicas) {
    const int tickets = TicketsOf(combiner_, replicas);
    for (int t = 0; t < tickets; ++t) worth_[bitlines[t]] = parts / tickets;
    bitlines += replicas;
  }
}

// No read of the row block can reach the ADC's full scale, whatever the levels.
bool Folder::CannotClip(const RowBlock& block) const {
  return std::all_of(block.units.begin(), block.units.end(), [this](const OperationUnit& unit) {
    const int64_t most = int64_t{unit.count} * config_.top_pulse();
    return most * config_.top_level() + config_.DigitalLeak(most) <= config_.adc_max();
  });
}

// Bitlines that a group is computed from collapse together or not at all.
void Folder::CollapseTogether(int64_t tile) {
  if (PartsOf(combiner_) == 1) return;
  const int32_t* bitlines = layer_.votes(tile).bitlines.data();
  for (const int replicas : layer_.votes(tile).replicas) {
    const int tickets = TicketsOf(combiner_, replicas);
    const bool all = std::all_of(bitlines, bitlines + tickets, [this](int32_t col) { return collapses_[col] != 0; });
    for (int t = 0; t < tickets; ++t) collapses_[bitlines[t]] = all;
    bitlines += replicas;
  }
}

void Folder::Prove(const RowBlock& block, int64_t tile, const uint8_t* levels) {
  const int64_t cols = arrays_.cols;
  std::fill(collapses_.begin(), collapses_.end(), can_prove_);
  if (can_prove_ && !CannotClip(block)) {
    for (const OperationUnit& unit : block.units) {
      std::fill(sums_.begin(), sums_.end(), 0);
      kernels_.fold.add_levels(levels, cols, block.wordlines.data() + unit.first, unit.count, sums_.data());
      const int64_t pulse = config_.top_pulse();
      const int64_t limit = config_.adc_max() - config_.DigitalLeak(pulse * unit.count);
      for (int64_t col = 0; col < cols; ++col) collapses_[col] &= pulse * sums_[col] <= limit;
    }
  }
  CollapseTogether(tile);
  single_columns_.bitlines.clear();
  for (int64_t col = 0; col < cols; ++col) {
    if (worth_[col] == 0 || votes_[col]) continue;
    if (collapses_[col]) {
      folded_->collapsed += arrays_.is_computed(tile * cols + col);
    } else {
      single_columns_.bitlines.push_back(static_cast<int32_t>(col));
    }
  }
}

}  // namespace

std::shared_ptr<const FoldedLayer> FoldLayer(const Layer& layer, const Die& die, Combiner combiner,
                                             const FoldOptions& options) {
  return Folder(layer, die, combiner, options).Run();
}

}  // namespace rcompile
