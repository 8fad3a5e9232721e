// One layer in the normal form of docs/hardware.md: its attributes, its arrays (owned by ONNX Runtime) and the row
// blocks and vote groups found in them.  A Layer exists only if everything in it has been checked, so later stages
// trust it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rcompile {

enum class Encoding { kOffset, kDifferential };
enum class InputCoding { kTwosComplement, kSignMagnitude, kOffset };
// kAsCompiled: the one that a layer's own attributes name.
enum class Combiner { kNone, kCell, kSelect, kMedian, kMean, kAsCompiled };

struct LayerConfig {
  std::string name;
  int64_t inputs = 0;      // K
  int64_t outputs = 0;     // N
  int64_t first_tile = 0;  // number in the bundle of this layer's tile 0
  int weight_bits = 0;
  int cell_bits = 0;
  int stored_bits = 8;  // that a cell takes in `levels`: 8, or packed_bits
  Encoding encoding = Encoding::kOffset;
  int input_bits = 0;
  InputCoding input_coding = InputCoding::kTwosComplement;
  int dac_bits = 1;  // of the digit of an input code that one read drives
  float input_scale = 0;  // 0: dynamic, one scale per row
  int64_t active_rows = 0;
  int adc_bits = 0;  // 0: ideal
  double adc_step_levels = 1;
  double hrs_levels = 0;
  Combiner combiner = Combiner::kNone;
  int likelier_level = 0;  // decides a self-test's tie between level 0 and the top level

  // The fewest that hold a cell and divide a byte.
  int packed_bits() const { return cell_bits <= 2 ? cell_bits : 4; }
  // Of one wordline in `levels`.
  int64_t StoredBytes(int64_t cols) const { return cols / 8 * stored_bits + (cols % 8 * stored_bits + 7) / 8; }
  int top_level() const { return (1 << cell_bits) - 1; }
  int top_digit() const { return (1 << dac_bits) - 1; }
  int slices() const {
    const int bits = encoding == Encoding::kOffset ? weight_bits : weight_bits - 1;
    return (bits + cell_bits - 1) / cell_bits;
  }
  // What is subtracted digitally, per driven code, for each top-slice bitline.
  int weight_offset() const { return encoding == Encoding::kOffset ? 1 << (weight_bits - 1) : 0; }
  int input_max() const { return (1 << (input_bits - 1)) - 1; }
  // What is added to an input code before it is driven.
  int input_offset() const { return input_coding == InputCoding::kOffset ? 1 << (input_bits - 1) : 0; }
  int64_t adc_max() const;
  // Digital value that is subtracted after a read whose driven digits add up to `population`.
  int64_t DigitalLeak(int64_t population) const;
  double Leak(int64_t population) const;

  bool operator==(const LayerConfig& other) const;
};

struct LayerArrays {
  int64_t tiles = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  const uint8_t* levels = nullptr;  // [tiles][rows] of LayerConfig::StoredBytes; see Layer::ProgrammedLevels
  const int32_t* wordline_input = nullptr;
  const int32_t* bitline_output = nullptr;
  const uint8_t* bitline_slice = nullptr;
  const int8_t* bitline_polarity = nullptr;
  const uint8_t* bitline_replica = nullptr;
  const uint8_t* bitline_inverted = nullptr;

  int64_t cells_per_tile() const { return rows * cols; }
  // A vote group is computed as replica 0's bitline; the other replicas have no part in what follows the vote.
  bool is_computed(int64_t bitline) const { return bitline_output[bitline] >= 0 && bitline_replica[bitline] == 0; }
  bool operator==(const LayerArrays& other) const;
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

class Layer {
 public:
  // Throws Error, naming the layer and the place, unless the form is valid.
  Layer(LayerConfig config, const LayerArrays& arrays);

  const LayerConfig& config() const { return config_; }
  const LayerArrays& arrays() const { return arrays_; }
  // The level [rows][cols] that each cell of a tile is programmed to, where it lies or in `buffer`.
  const uint8_t* ProgrammedLevels(int64_t tile, std::vector<uint8_t>* buffer) const;
  const std::vector<RowBlock>& row_blocks() const { return row_blocks_; }
  const TileVotes& votes(int64_t tile) const { return votes_[tile]; }
  bool has_votes() const { return has_votes_; }
  int64_t vote_groups() const { return vote_groups_; }  // those of one bitline included

 private:
  void CheckConfig() const;
  void CheckPadding() const;
  void CheckLevels() const;
  void CheckBitlines() const;
  void CheckBitline(int64_t tile, int64_t col) const;
  void FindRowBlocks();
  void AddRowBlock(int64_t tile, std::vector<int32_t>* owner);
  void FindVotes(int64_t tile);
  void AddVotes(int64_t tile, const std::vector<int32_t>& group);
  void CheckDuplicates() const;
  void CheckReplicas() const;
  [[noreturn]] void Fail(const std::string& what) const;

  LayerConfig config_;
  LayerArrays arrays_;
  std::vector<RowBlock> row_blocks_;
  std::vector<TileVotes> votes_;  // by tile
  bool has_votes_ = false;
  int64_t vote_groups_ = 0;
};

}  // namespace rcompile
