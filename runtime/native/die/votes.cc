#include "die/votes.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace rcompile {
namespace {

constexpr int kCells = 64;  // decided at once
constexpr int kSide = 16;   // of the squares that are transposed at once
typedef uint8_t Side __attribute__((vector_size(kSide)));

// Four times, the upper and the lower half are shuffled into each other, one row after the other.
void TransposeSquare(Side* square) {
  for (int round = 0; round < 4; ++round) {
    Side shuffled[kSide];
    for (int i = 0; i < kSide / 2; ++i) {
      const Side a = square[i], b = square[i + kSide / 2];
      shuffled[2 * i] = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      shuffled[2 * i + 1] = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    std::memcpy(square, shuffled, sizeof shuffled);
  }
}

// A self-test's preference among levels that are read equally often, as a number: the lowest level between the ends,
// then the likelier end, then the other.  One to one, so that ranks can be counted in place of levels.
struct Ranking {
  uint8_t top;
  uint8_t likelier;

  uint8_t RankOf(uint8_t level) const {
    const bool is_end = level == 0 || level == top;
    return is_end ? level == likelier : static_cast<uint8_t>(-level);
  }
  uint8_t LevelOf(uint8_t rank) const {
    return rank > 1 ? static_cast<uint8_t>(-rank) : static_cast<uint8_t>(rank == 1 ? likelier : top - likelier);
  }
};

// Of kCells cells, the rank that most replicas have, the highest of equals.
void MostFrequent(const uint8_t* ranks, size_t stride, int replicas, uint8_t* winner) {
  int16_t best[kCells] = {};
  for (int r = 0; r < replicas; ++r) {
    const uint8_t* candidate = ranks + r * stride;
    uint8_t votes[kCells] = {};
    for (int other = 0; other < replicas; ++other) {
      const uint8_t* voter = ranks + other * stride;
      for (int i = 0; i < kCells; ++i) votes[i] = static_cast<uint8_t>(votes[i] + (voter[i] == candidate[i]));
    }
    for (int i = 0; i < kCells; ++i) {
      best[i] = std::max(best[i], static_cast<int16_t>(votes[i] << 8 | candidate[i]));
    }
  }
  for (int i = 0; i < kCells; ++i) winner[i] = static_cast<uint8_t>(best[i]);
}

// Of so many cells, the sum of (error + a - b)^2.
int64_t SquaredSum(const int16_t* error, const uint8_t* a, const uint8_t* b, int count) {
  int32_t sum = 0;  // at most 4096 * (4 * 15)^2
  for (int i = 0; i < count; ++i) {
    const int16_t difference = static_cast<int16_t>(error[i] + a[i] - b[i]);
    sum += difference * difference;
  }
  return sum;
}

// The first of the replicas for which `damage` is least, and how much that is.
template <class Damage>
int FirstOfLeast(int replicas, int64_t* least, Damage damage) {
  int best = 0;
  *least = std::numeric_limits<int64_t>::max();
  for (int r = 0; r < replicas; ++r) {
    const int64_t found = damage(r);
    if (found >= *least) continue;
    *least = found;
    best = r;
  }
  return best;
}

}  // namespace

// Bitlines become contiguous, so that the rest of the work is on whole vectors of cells.
void Resolver::Transpose(const RowBlock& block, const uint8_t* levels) {
  const int64_t cols = layer_.arrays().cols;
  const int64_t driven = static_cast<int64_t>(block.wordlines.size());
  stride_ = (driven + kCells - 1) / kCells * kCells;
  cells_.resize(cols * stride_);
  for (int64_t first = 0; first < driven; first += kSide) {
    const int rows = static_cast<int>(std::min<int64_t>(kSide, driven - first));
    const int32_t* wordlines = block.wordlines.data() + first;
    int64_t col = 0;
    for (; col + kSide <= cols; col += kSide) {
      Side square[kSide] = {};
      for (int i = 0; i < rows; ++i) std::memcpy(&square[i], levels + wordlines[i] * cols + col, kSide);
      TransposeSquare(square);
      for (int j = 0; j < kSide; ++j) std::memcpy(cells_.data() + (col + j) * stride_ + first, &square[j], kSide);
    }
    for (; col < cols; ++col) {
      for (int i = 0; i < rows; ++i) cells_[col * stride_ + first + i] = levels[wordlines[i] * cols + col];
    }
  }
}

void Resolver::Decide(const int32_t* bitlines, int replicas) {
  const Ranking ranking{static_cast<uint8_t>(layer_.config().top_level()),
                        static_cast<uint8_t>(layer_.config().likelier_level)};
  ranks_.resize(replicas * stride_);
  for (int r = 0; r < replicas; ++r) {
    const uint8_t* cells = Bitline(bitlines[r]);
    std::transform(cells, cells + stride_, ranks_.data() + r * stride_,
                   [ranking](uint8_t level) { return ranking.RankOf(level); });
  }
  decided_.resize(stride_);
  for (int64_t i = 0; i < stride_; i += kCells) {
    MostFrequent(ranks_.data() + i, stride_, replicas, decided_.data() + i);
  }
  for (uint8_t& cell : decided_) cell = ranking.LevelOf(cell);
}

void Resolver::PutDecided(const RowBlock& block, int32_t bitline, uint8_t* levels) const {
  const int64_t cols = layer_.arrays().cols;
  for (size_t i = 0; i < block.wordlines.size(); ++i) levels[block.wordlines[i] * cols + bitline] = decided_[i];
}

// Tickets one by one, each to the replica that leaves the least damage of their sum, the first of equals; then, of the
// first one, two, .., the fewest whose mean has the least damage, as often as there are tickets.
void Resolver::HandOut(const OperationUnit& unit, const int32_t* bitlines, int replicas, int tickets) {
  const uint8_t* decided = decided_.data() + unit.first;
  error_.assign(unit.count, 0);
  int64_t least = std::numeric_limits<int64_t>::max();
  int kept = 0;
  for (int given = 1; given <= tickets; ++given) {
    int64_t damage = 0;
    chosen_[given - 1] = FirstOfLeast(replicas, &damage, [&](int r) {
      return SquaredSum(error_.data(), Bitline(bitlines[r]) + unit.first, decided, unit.count);
    });
    const int64_t of_mean = damage * (tickets / given) * (tickets / given);
    if (tickets % given == 0 && of_mean < least) {
      least = of_mean;
      kept = given;
    }
    if (given == tickets) break;
    const uint8_t* cells = Bitline(bitlines[chosen_[given - 1]]) + unit.first;
    for (int i = 0; i < unit.count; ++i) error_[i] = static_cast<int16_t>(error_[i] + cells[i] - decided[i]);
  }
  for (int t = kept; t < tickets; ++t) chosen_[t] = chosen_[t % kept];
}

void Resolver::PutChosen(const RowBlock& block, const OperationUnit& unit, const int32_t* bitlines, int tickets,
                         uint8_t* levels, int16_t* analog) const {
  const int64_t cols = layer_.arrays().cols;
  int moved = 0;
  while (moved < tickets && chosen_[moved] == moved) ++moved;
  if (moved == tickets) return;  // already there
  for (int i = unit.first; i < unit.first + unit.count; ++i) {
    const int64_t wordline = block.wordlines[i] * cols;
    int16_t held[kTickets];  // before any of them is written over
    for (int t = 0; t < tickets && analog != nullptr; ++t) held[t] = analog[wordline + bitlines[chosen_[t]]];
    for (int t = 0; t < tickets; ++t) {
      levels[wordline + bitlines[t]] = Bitline(bitlines[chosen_[t]])[i];
      if (analog != nullptr) analog[wordline + bitlines[t]] = held[t];
    }
  }
}

void Resolver::Resolve(Combiner combiner, const RowBlock& block, int64_t tile, uint8_t* levels, int16_t* analog) {
  const TileVotes& votes = layer_.votes(tile);
  if (votes.replicas.empty()) return;
  Transpose(block, levels);
  const int32_t* bitlines = votes.bitlines.data();
  for (const int replicas : votes.replicas) {
    Decide(bitlines, replicas);
    if (combiner == Combiner::kCell) {
      PutDecided(block, bitlines[0], levels);
    } else {
      const int tickets = TicketsOf(combiner, replicas);
      for (const OperationUnit& unit : block.units) {
        HandOut(unit, bitlines, replicas, tickets);
        PutChosen(block, unit, bitlines, tickets, levels, analog);
      }
    }
    bitlines += replicas;
  }
}

}  // namespace rcompile
