#include "die/cells.h"

#include <algorithm>
#include <cmath>

#include "die/faults.h"
#include "die/randomness.h"

namespace rcompile {
namespace {

bool AnyAboveZero(const std::vector<float>& values) {
  return std::any_of(values.begin(), values.end(), [](float v) { return v > 0; });
}

CellTables TablesOf(const Die& die, double hrs_levels) {
  CellTables tables{};
  tables.levels = static_cast<int>(die.mean.size());
  std::copy(die.base.begin(), die.base.end(), tables.base);
  std::copy(die.mean.begin(), die.mean.end(), tables.mean);
  std::copy(die.sigma.begin(), die.sigma.end(), tables.sigma);
  std::copy(die.reach.begin(), die.reach.end(), tables.reach);
  std::copy(die.spread.begin(), die.spread.end(), tables.spread);
  tables.has_base = AnyAboveZero(die.base);
  tables.has_sigma = AnyAboveZero(die.sigma);
  tables.has_spread = AnyAboveZero(die.spread);
  tables.hrs_levels = hrs_levels;
  return tables;
}

}  // namespace

DieCells::DieCells(const Layer& layer, const Die& die, Combiner combiner, const KernelTable& kernels)
    : layer_(layer),
      config_(layer.config()),
      arrays_(layer.arrays()),
      die_(die),
      combiner_(combiner),
      kernels_(kernels),
      top_(static_cast<uint8_t>(config_.top_level())),
      resolver_(layer) {
  CheckDie(die, config_);
  const auto map = die.maps.find(config_.name);
  if (map != die.maps.end()) map_ = &map->second;
  tables_ = TablesOf(die, config_.hrs_levels);
  const int32_t leak = static_cast<int32_t>(std::floor(config_.hrs_levels * kGrid + 0.5));
  wires_ = {die.wordline_drop, die.bitline_drop, leak, arrays_.rows, arrays_.cols};
  if (die.has_analog_cells()) {
    analog_.resize(arrays_.cells_per_tile());
    scratch_.resize(3 * arrays_.cols);
  }
}

TileCells DieCells::Load(const RowBlock& block, int64_t tile) {
  const uint8_t* programmed = layer_.ProgrammedLevels(tile, &unpacked_);
  if (!die_.has_analog_cells() && !has_stuck_cells()) return {programmed, programmed, nullptr, true};
  levels_.resize(arrays_.cells_per_tile());
  return die_.has_analog_cells() ? LoadAnalog(block, tile, programmed) : LoadWhole(block, tile, programmed);
}

void DieCells::FindStuck(int64_t tile) {
  const int64_t cells = arrays_.cells_per_tile();
  codes_.resize(cells);
  if (map_ != nullptr) return UnpackFaults(*map_, top_, tile * cells, cells, codes_.data());
  DrawFaults(die_, arrays_.crossbar[tile], arrays_.rows, arrays_.cols, top_, kernels_.cells, codes_.data());
}

TileCells DieCells::LoadWhole(const RowBlock& block, int64_t tile, const uint8_t* programmed) {
  const int64_t cells = arrays_.cells_per_tile();
  if (map_ == nullptr && die_.between == 0 && die_.cluster_side == 0 && !die_.has_lines()) {
    const StuckHash hash = MakeStuckHash(die_, arrays_.crossbar[tile]);
    Count(kernels_.cells.inject(hash, cells, top_, programmed, levels_.data()));
  } else {
    FindStuck(tile);
    Count(kernels_.cells.apply_faults(codes_.data(), cells, top_, programmed, levels_.data()));
  }
  if (IsSettled(combiner_)) {
    resolver_.Resolve(combiner_, block, tile, levels_.data(), nullptr);
  }
  return {programmed, levels_.data(), nullptr, false};
}

TileCells DieCells::LoadAnalog(const RowBlock& block, int64_t tile, const uint8_t* programmed) {
  const CellKernels& kernels = kernels_.cells;
  const int64_t cells = arrays_.cells_per_tile(), crossbar = arrays_.crossbar[tile];
  if (has_stuck_cells()) {
    FindStuck(tile);
    Count(kernels.apply_faults(codes_.data(), cells, top_, programmed, levels_.data()));
  }
  const CellKeys keys{Halves(CrossbarKey(die_.seed, Purpose::kProgramming, crossbar)),
                      Halves(CrossbarKey(die_.seed, Purpose::kSpread, crossbar))};
  const uint8_t* codes = has_stuck_cells() ? codes_.data() : nullptr;
  kernels.analog_levels(tables_, keys, cells, programmed, codes, analog_.data());
  if (wires_.wordline_drop > 0 || wires_.bitline_drop > 0) kernels.see_through(wires_, analog_.data(), scratch_.data());
  if (!IsSettled(combiner_)) {
    return {programmed, programmed, analog_.data(), false};
  }
  kernels.read_back(analog_.data(), cells, top_, levels_.data());
  resolver_.Resolve(combiner_, block, tile, levels_.data(), analog_.data());
  if (combiner_ == Combiner::kCell) return {programmed, levels_.data(), nullptr, false};
  return {programmed, programmed, analog_.data(), false};
}

void DieCells::Count(const FaultCount& faults) {
  faults_.sa0 += faults.sa0;
  faults_.sa1 += faults.sa1;
  faults_.between += faults.between;
}

}  // namespace rcompile
