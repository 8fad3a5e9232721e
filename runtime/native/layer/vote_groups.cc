// The vote groups of a layer, found and checked.
#include <algorithm>
#include <vector>

#include "layer/layer.h"
#include "simd/kernels.h"

namespace rcompile {

template <class Level>
bool HoldAlike(const Level* levels, int64_t cols, const RowBlock& block, const int32_t* bitlines, int replicas) {
  for (const int32_t wordline : block.wordlines) {
    const Level* row = levels + wordline * cols;
    for (int r = 1; r < replicas; ++r) {
      if (row[bitlines[r]] != row[bitlines[0]]) return false;
    }
  }
  return true;
}

template bool HoldAlike(const uint8_t*, int64_t, const RowBlock&, const int32_t*, int);
template bool HoldAlike(const int16_t*, int64_t, const RowBlock&, const int32_t*, int);

// Bitlines are sorted as numbers: output and digit, which make the group; then replica; then the bitline.
void Layer::FindVotes(int64_t tile) {
  constexpr int kColBits = 16, kReplicaBits = 8;
  std::vector<uint64_t> keys;
  for (int64_t col = 0; col < arrays_.cols; ++col) {
    const int64_t i = tile * arrays_.cols + col;
    if (arrays_.bitline_output[i] < 0) continue;
    uint64_t key = static_cast<uint64_t>(arrays_.bitline_output[i]) << 8 | arrays_.bitline_digit[i];
    key = key << kReplicaBits | arrays_.bitline_replica[i];
    keys.push_back(key << kColBits | static_cast<uint64_t>(col));
  }
  std::sort(keys.begin(), keys.end());
  std::vector<int32_t> group;
  for (size_t i = 0; i < keys.size(); ++i) {
    group.push_back(static_cast<int32_t>(keys[i] & ((1 << kColBits) - 1)));
    const bool is_last =
        i + 1 == keys.size() || keys[i] >> (kReplicaBits + kColBits) != keys[i + 1] >> (kReplicaBits + kColBits);
    if (!is_last) continue;
    AddVotes(tile, group);
    group.clear();
  }
}

// `group`: its bitlines, sorted by replica.
void Layer::AddVotes(int64_t tile, const std::vector<int32_t>& group) {
  const int64_t base = tile * arrays_.cols;
  const auto fail = [&](const char* array, const uint8_t* values, size_t r, const char* broken, const char* code) {
    const int64_t i = base + group[r];
    config_.Fail(At(array, tile, group[r]) + " is " + std::to_string(values[i]) + ", but " + broken + " (output " +
                 std::to_string(arrays_.bitline_output[i]) + ", digit " + std::to_string(arrays_.bitline_digit[i]) +
                 ") [" + code + "]");
  };
  const uint8_t *replica = arrays_.bitline_replica, *inverted = arrays_.bitline_inverted;
  const size_t replicas = group.size();
  for (size_t r = 0; r < replicas; ++r) {
    if (replica[base + group[r]] != r)
      fail("bitline_replica", replica, r, "replicas in a tile are numbered 0, 1, ...", "replica-numbers");
    if (inverted[base + group[r]] != inverted[base + group[0]]) {
      fail("bitline_inverted", inverted, r, "replicas are all inverted or all not", "replica-inversion");
    }
  }
  ++vote_groups_;
  if (replicas == 1) return;
  has_votes_ = true;
  TileVotes& votes = votes_[tile];
  votes.bitlines.insert(votes.bitlines.end(), group.begin(), group.end());
  votes.replicas.push_back(static_cast<int32_t>(replicas));
}

// One vote group at most for each (row block, output, digit).
void Layer::CheckDuplicates() const {
  struct Seen {
    int64_t block = -1;   // the last that had this output
    uint64_t digits = 0;  // that it had
  };
  std::vector<Seen> seen(config_.outputs);
  for (size_t block = 0; block < row_blocks_.size(); ++block) {
    const bool is_driven = !row_blocks_[block].inputs.empty();
    for (const int64_t tile : row_blocks_[block].tiles) {
      for (int64_t col = 0; col < arrays_.cols; ++col) {
        const int64_t i = tile * arrays_.cols + col;
        if (!arrays_.is_computed(i)) continue;
        if (!is_driven) {
          config_.Fail(At("bitline_output", tile, col) + " is " + std::to_string(arrays_.bitline_output[i]) +
                       ", but no input drives the tile [bitline-without-inputs]");
        }
        Seen& of_output = seen[arrays_.bitline_output[i]];
        if (of_output.block != static_cast<int64_t>(block)) of_output = {static_cast<int64_t>(block), 0};
        const uint64_t digit = uint64_t{1} << arrays_.bitline_digit[i];
        if (of_output.digits & digit) {
          config_.Fail(At("bitline_output", tile, col) + " is " + std::to_string(arrays_.bitline_output[i]) +
                       ", whose digit " + std::to_string(arrays_.bitline_digit[i]) +
                       " this row block already has [digit-twice]");
        }
        of_output.digits |= digit;
      }
    }
  }
}

// On a die without faults, any vote then finds what replica 0 holds.
void Layer::CheckReplicas() const {
  std::vector<uint8_t> buffer;
  for (const RowBlock& block : row_blocks_) {
    for (const int64_t tile : block.tiles) {
      if (votes_[tile].replicas.empty()) continue;
      const uint8_t* levels = ProgrammedLevels(tile, &buffer);
      const int32_t* bitlines = votes_[tile].bitlines.data();
      for (const int replicas : votes_[tile].replicas) {
        if (!HoldAlike(levels, arrays_.cols, block, bitlines, replicas)) {
          config_.Fail("levels[" + std::to_string(tile) + "] differ between bitline " + std::to_string(bitlines[0]) +
                       " and its replicas [replica-levels]");
        }
        bitlines += replicas;
      }
    }
  }
}

}  // namespace rcompile
