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

int32_t SquaredDistance(const uint8_t* a, const uint8_t* b, int count) {
  int32_t sum = 0;  // at most 4096 * 255^2
  for (int i = 0; i < count; ++i) {
    const int16_t difference = static_cast<int16_t>(a[i] - b[i]);
    sum += difference * difference;
  }
  return sum;
}

// The first of the replicas for which `damage` is least.
template <class Damage>
int FirstOfLeast(int replicas, Damage damage) {
  int best = 0;
  int32_t least = std::numeric_limits<int32_t>::max();
  for (int r = 0; r < replicas; ++r) {
    const int32_t found = damage(r);
    if (found >= least) continue;
    least = found;
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

void Resolver::Resolve(Combiner combiner, const RowBlock& block, int64_t tile, uint8_t* levels, int16_t* analog) {
  const TileVotes& votes = layer_.votes(tile);
  if (votes.replicas.empty()) return;
  Transpose(block, levels);
  const int64_t cols = layer_.arrays().cols;
  const int32_t* bitlines = votes.bitlines.data();
  for (const int replicas : votes.replicas) {
    Decide(bitlines, replicas);
    for (const OperationUnit& unit : block.units) {
      const auto damage = [&](int r) {
        return SquaredDistance(Bitline(bitlines[r]) + unit.first, decided_.data() + unit.first, unit.count);
      };
      const int32_t chosen = bitlines[combiner == Combiner::kCell ? 0 : FirstOfLeast(replicas, damage)];
      const uint8_t* from = combiner == Combiner::kCell ? decided_.data() : Bitline(chosen);
      if (from == Bitline(bitlines[0])) continue;  // already there
      for (int i = unit.first; i < unit.first + unit.count; ++i) {
        const int64_t wordline = block.wordlines[i] * cols;
        levels[wordline + bitlines[0]] = from[i];
        if (analog != nullptr) analog[wordline + bitlines[0]] = analog[wordline + chosen];
      }
    }
    bitlines += replicas;
  }
}

}  // namespace rcompile
