// The attributes of a layer: docs/bundle.md, "The node".
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "simd/reads.h"

namespace rcompile {

enum class InputCoding { kTwosComplement, kSignMagnitude, kOffset };
// How replicas are combined; kAsCompiled: the way that a layer's own attributes name.
enum class Combiner { kNone, kCell, kSelect, kSubset, kMedian, kMean, kAsCompiled };
inline constexpr std::pair<const char*, Combiner> kCombiners[] = {
    {"none", Combiner::kNone},     {"cell", Combiner::kCell},     {"select", Combiner::kSelect},
    {"subset", Combiner::kSubset}, {"median", Combiner::kMedian}, {"mean", Combiner::kMean},
};
// Whether a combiner is settled when a die is loaded; the others vote in each read.
inline bool IsSettled(Combiner combiner) {
  return combiner == Combiner::kCell || combiner == Combiner::kSubset || combiner == Combiner::kSelect;
}
// What weights are counted in so that all of them are whole: the parts of a digit that a bitline may be worth.
inline constexpr int kTickets = 4;
inline int PartsOf(Combiner combiner) { return combiner == Combiner::kSubset ? kTickets : 1; }
// Bitlines that a settled group of so many replicas is computed from, its first ones.
inline int TicketsOf(Combiner combiner, int replicas) {
  return combiner != Combiner::kSubset || replicas == 1 ? 1 : replicas < kTickets ? 2 : kTickets;
}

struct LayerConfig {
  std::string name;
  int64_t inputs = 0;   // K
  int64_t outputs = 0;  // N
  // A weight is the sum over its bitlines of digit times level, less the offset.
  std::vector<int64_t> digits;
  int weight_offset = 0;
  int cell_bits = 0;
  int stored_bits = 8;  // that a cell takes in `levels`: 8, or packed_bits
  int input_bits = 0;
  InputCoding input_coding = InputCoding::kTwosComplement;
  int dac_bits = 1;       // of a pulse: what one read drives of an input code
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
  int top_pulse() const { return (1 << dac_bits) - 1; }
  int input_max() const { return (1 << (input_bits - 1)) - 1; }
  // What is added to an input code before it is driven.
  int input_offset() const { return input_coding == InputCoding::kOffset ? 1 << (input_bits - 1) : 0; }
  int64_t adc_max() const;
  Converter converter() const { return {adc_step_levels, adc_max()}; }
  // Whether the code of a read is its sum and leakage, as far as it goes up.
  bool counts_levels() const { return adc_step_levels == 1; }
  // Whether a read without a driven wordline may give another code than 0.
  bool reads_silence() const { return false; }
  // Digital value that is subtracted after a read whose pulses add up to `population`.
  int64_t DigitalLeak(int64_t population) const;
  double Leak(int64_t population) const;

  // Throws Error unless every number is in its range.
  void Check() const;
  void CheckDigits() const;
  void CheckRange(const char* what, int64_t value, int64_t low, int64_t high) const;
  // Throws Error, naming the layer.
  [[noreturn]] void Fail(const std::string& what) const;

  bool operator==(const LayerConfig&) const = default;
};

// An attribute that is a small whole number: its name in the node, where it is kept, and its range.
struct SmallNumber {
  const char* attribute;
  int LayerConfig::* member;
  int least;
  int (*most)(const LayerConfig&);
};
template <int kMost>
int UpTo(const LayerConfig&) {
  return kMost;
}
// What bounds another comes before it.
inline constexpr SmallNumber kSmallNumbers[] = {
    {"weight_offset", &LayerConfig::weight_offset, 0, UpTo<255>},
    {"cell_bits", &LayerConfig::cell_bits, 1, UpTo<4>},
    {"stored_bits", &LayerConfig::stored_bits, 1, UpTo<8>},
    {"input_bits", &LayerConfig::input_bits, 2, UpTo<8>},
    {"dac_bits", &LayerConfig::dac_bits, 1, [](const LayerConfig& of) { return std::min(of.input_bits, 4); }},
    {"adc_bits", &LayerConfig::adc_bits, 0, UpTo<16>},
    {"likelier_level", &LayerConfig::likelier_level, 0, UpTo<15>},
};

// One of kCombiners; throws Error naming `what` and the text.
Combiner ParseCombiner(const std::string& text, const std::string& what);

}  // namespace rcompile
