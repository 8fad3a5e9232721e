// Voting, as far as it is settled when a die is loaded: vote groups become single bitlines.  For the combiners that
// vote in each read see voted_read_kernel.h.
#pragma once

#include <cstdint>
#include <vector>

#include "layer/layer.h"

namespace rcompile {

// Resolves the vote groups of a layer, tile by tile.
class Resolver {
 public:
  explicit Resolver(const Layer& layer) : layer_(layer) {}

  // Puts into the first bitlines of every group (TicketsOf), on the driven wordlines, what `combiner`, which IsSettled,
  // computes the group from.  Of one that chooses bitlines also in `analog`, unless it is null: `levels` is what a
  // self-test reads of it.
  void Resolve(Combiner combiner, const RowBlock& block, int64_t tile, uint8_t* levels, int16_t* analog);

 private:
  void Transpose(const RowBlock& block, const uint8_t* levels);
  void Decide(const int32_t* bitlines, int replicas);
  void PutDecided(const RowBlock& block, int32_t bitline, uint8_t* levels) const;
  void HandOut(const OperationUnit& unit, const int32_t* bitlines, int replicas, int tickets);
  void PutChosen(const RowBlock& block, const OperationUnit& unit, const int32_t* bitlines, int tickets,
                 uint8_t* levels, int16_t* analog) const;

  const uint8_t* Bitline(int64_t col) const { return cells_.data() + col * stride_; }

  const Layer& layer_;
  // By driven wordline, padded to a multiple of what Decide takes at once:
  int64_t stride_ = 0;
  std::vector<uint8_t> cells_;    // [bitline][wordline] of the tile at hand
  std::vector<uint8_t> ranks_;    // [replica][wordline] of the vote group at hand
  std::vector<uint8_t> decided_;  // [wordline] of the vote group at hand
  std::vector<int16_t> error_;    // [wordline] of an operation unit, of the tickets handed out so far
  int chosen_[kTickets] = {};     // replica of each ticket
};

}  // namespace rcompile
