// One layer in the normal form of docs/hardware.md: its attributes, its arrays (owned by ONNX Runtime) and the row
// blocks and vote groups found in them.  A Layer exists only if everything in it has been checked, so later stages
// trust it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "layer/config.h"

namespace rcompile {

// Of a tile.
constexpr int64_t kMaxRows = 4096;

struct LayerArrays {
  int64_t tiles = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  const uint8_t* levels = nullptr;    // [tiles][rows] of LayerConfig::StoredBytes; see Layer::ProgrammedLevels
  const int32_t* crossbar = nullptr;  // that each tile is on: what a die's draws belong to
  const int32_t* wordline_input = nullptr;
  const int32_t* bitline_output = nullptr;
  const uint8_t* bitline_digit = nullptr;
  const uint8_t* bitline_replica = nullptr;
  const uint8_t* bitline_inverted = nullptr;

  int64_t cells_per_tile() const { return rows * cols; }
  // A vote group is computed as replica 0's bitline; the other replicas have no part in what follows the vote.
  bool is_computed(int64_t bitline) const { return bitline_output[bitline] >= 0 && bitline_replica[bitline] == 0; }
  bool operator==(const LayerArrays&) const = default;
};

// The driven wordlines `first .. first + count - 1` of a row block that one read drives together.
struct OperationUnit {
  int first;
  int count;
};

// Tiles whose wordlines carry the same features.
struct RowBlock {
  std::vector<int32_t> wordlines;  // the driven ones, ascending
  std::vector<int32_t> inputs;     // feature on each of them
  std::vector<OperationUnit> units;
  std::vector<int64_t> tiles;
};

// The vote groups of a tile that have more than one bitline.
struct TileVotes {
  std::vector<int32_t> bitlines;  // group after group, each from replica 0 up
  std::vector<int32_t> replicas;  // of each group
};

// Whether the replicas of a vote group hold the same levels on the driven wordlines.
template <class Level>
bool HoldAlike(const Level* levels, int64_t cols, const RowBlock& block, const int32_t* bitlines, int replicas);

class Layer {
 public:
  // Throws Error, naming the layer and the place, unless the form is valid.
  Layer(LayerConfig config, const LayerArrays& arrays);

  const LayerConfig& config() const { return config_; }
  const LayerArrays& arrays() const { return arrays_; }
  // The level [rows][cols] that each cell of a tile is programmed to, where it lies or in `buffer`.
  const uint8_t* ProgrammedLevels(int64_t tile, std::vector<uint8_t>* buffer) const;
  // Of a used bitline: what its levels are worth, and what is subtracted digitally for each driven code.
  int32_t Digit(int64_t bitline) const { return static_cast<int32_t>(config_.digits[arrays_.bitline_digit[bitline]]); }
  int32_t WeightOffset(int64_t bitline) const {
    return arrays_.bitline_digit[bitline] + size_t{1} == config_.digits.size() ? config_.weight_offset : 0;
  }
  const std::vector<RowBlock>& row_blocks() const { return row_blocks_; }
  const TileVotes& votes(int64_t tile) const { return votes_[tile]; }
  bool has_votes() const { return has_votes_; }
  int64_t vote_groups() const { return vote_groups_; }  // those of one bitline included
  // Throws Error if a crossbar is that of another layer as well.
  void CheckApart(const Layer& other) const;

 private:
  // Copies the arrays: what is checked is what is used, whatever becomes of the file that they are mapped from.
  void OwnArrays();
  template <class T>
  void Own(const T** array, int64_t count);
  void CheckShape() const;
  void CheckPadding() const;
  void CheckLevels() const;
  void CheckTileLevels(int64_t tile, const uint8_t* levels, std::vector<uint8_t>* unused) const;
  void CheckCrossbars();
  void CheckWordlines() const;
  void CheckBitlines() const;
  void CheckBitline(int64_t tile, int64_t col) const;
  void FindRowBlocks();
  void AddRowBlock(int64_t tile, std::vector<int32_t>* owner);
  void FindVotes(int64_t tile);
  void AddVotes(int64_t tile, const std::vector<int32_t>& group);
  void CheckDuplicates() const;
  void CheckReplicas() const;
  static std::string At(const char* array, int64_t tile, int64_t index);

  LayerConfig config_;
  LayerArrays arrays_;
  std::vector<std::unique_ptr<uint8_t[]>> owned_;
  std::vector<int32_t> crossbars_;  // sorted
  std::vector<RowBlock> row_blocks_;
  std::vector<TileVotes> votes_;  // by tile
  bool has_votes_ = false;
  int64_t vote_groups_ = 0;
};

}  // namespace rcompile
