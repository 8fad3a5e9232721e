#include "die/die.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <tuple>
#include <variant>

#include "base/error.h"
#include "base/text.h"
#include "simd/cells.h"

namespace rcompile {
namespace {

// Python adds rates up in float64.
constexpr double kMostStuck = 1 + 1e-9;

// A key of the die option.  The ranges keep every result inside the kernels' types: simd/cells.h, analog_read_kernel.h.
struct Key {
  using Member = std::variant<double Die::*, int Die::*, std::vector<float> Die::*>;
  std::string_view name;
  Member member;
  double low;
  double high;
};

constexpr double kAny = 1e9;
constexpr int64_t kMostDriven = 1 << 14;
const Key kKeys[] = {
    {"sa0", &Die::sa0, 0, 1},
    {"sa1", &Die::sa1, 0, 1},
    {"between", &Die::between, 0, 1},
    {"cluster_side", &Die::cluster_side, 0, 4096},
    {"cluster_alpha", &Die::cluster_alpha, 1, 64},
    {"cluster_scale", &Die::cluster_scale, 0, 1e30},
    {"wordline", &Die::wordline, 0, 1},
    {"bitline", &Die::bitline, 0, 1},
    {"crossbar", &Die::crossbar, 0, 1},
    {"base", &Die::base, 0, kAny},
    {"mean", &Die::mean, 0, kAny},
    {"sigma", &Die::sigma, 0, kAny},
    {"reach", &Die::reach, 0, 1},
    {"spread", &Die::spread, 0, 14},  // where |z| < 5.5, the exponential's argument stays below 80
    {"wordline_drop", &Die::wordline_drop, 0, kAny},
    {"bitline_drop", &Die::bitline_drop, 0, kAny},
    {"gain", &Die::gain, -1, 10},
    {"gain_sigma", &Die::gain_sigma, 0, 1},
    {"offset", &Die::offset, -4096, 4096},
    {"offset_sigma", &Die::offset_sigma, 0, 4096},
    {"cell_noise", &Die::cell_noise, 0, 16},
    {"noise", &Die::noise, 0, 4096},
    {"code_flip", &Die::code_flip, 0, 1},
    {"code_flip_bit", &Die::code_flip_bit, -1, 15},
    {"activation_flip", &Die::activation_flip, 0, 1},
    {"activation_flip_bit", &Die::activation_flip_bit, -1, 7},
};

std::string WhatOf(const Key& key) { return "die: " + std::string(key.name); }

template <class Number>
Number InRange(Number value, std::string_view text, const Key& key) {
  if (value >= key.low && value <= key.high) return value;
  char range[64];
  std::snprintf(range, sizeof range, "%g .. %g", key.low, key.high);
  throw Error(WhatOf(key) + " " + Quoted(text) + " is not in " + range);
}

void ParseValue(std::string_view text, const Key& key, double* value) {
  *value = InRange(ParseDecimal(text, WhatOf(key)), text, key);
}
void ParseValue(std::string_view text, const Key& key, int* value) {
  *value = static_cast<int>(InRange(ParseInteger(text, WhatOf(key)), text, key));
}
void ParseValue(std::string_view text, const Key& key, std::vector<float>* values) {
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find(':', start), text.size());
    double value = 0;
    ParseValue(text.substr(start, end - start), key, &value);
    values->push_back(static_cast<float>(value));
    start = end + 1;
  }
}

void ParseItem(std::string_view item, Die* die) {
  const size_t equals = item.find('=');
  if (item == "map") {
    die->mapped = true;
    return;
  }
  if (equals == item.npos) throw Error("die: " + Quoted(item) + " is neither 'map' nor KEY=VALUE");
  const std::string_view name = item.substr(0, equals), value = item.substr(equals + 1);
  if (name == "seed") {
    die->seed = ParseUnsigned(value, "die: seed");
    return;
  }
  const Key* key = std::find_if(std::begin(kKeys), std::end(kKeys), [&](const Key& k) { return k.name == name; });
  if (key == std::end(kKeys)) throw Error("die: there is no key " + Quoted(name));
  std::visit([&](auto member) { ParseValue(value, *key, &(die->*member)); }, key->member);
}

void CheckTogether(const Die& die) {
  if (die.sa0 + die.sa1 + die.between > kMostStuck) {
    throw Error("die: the rates sa0, sa1 and between add up to more than 1");
  }
  if (die.mapped && die.has_stuck_cells()) {
    throw Error("die: 'map' says which cells are stuck; leave out sa0, sa1, between, wordline, bitline and crossbar");
  }
  const std::tuple<const char*, size_t> lists[] = {{"base", die.base.empty() ? die.mean.size() : die.base.size()},
                                                   {"sigma", die.sigma.size()},
                                                   {"reach", die.reach.size()},
                                                   {"spread", die.spread.size()}};
  for (const auto& [name, size] : lists) {
    if (size == die.mean.size()) continue;
    throw Error("die: " + std::string(name) + " has " + std::to_string(size) + " numbers, but mean has " +
                std::to_string(die.mean.size()));
  }
  if (die.mean.empty() && (die.wordline_drop > 0 || die.bitline_drop > 0)) {
    throw Error("die: wordline_drop and bitline_drop need mean, sigma, reach and spread");
  }
}

}  // namespace

Die ParseDie(std::string_view text) {
  Die die;
  if (text == "clean") return die;
  std::set<std::string_view> seen;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find(',', start), text.size());
    const std::string_view item = text.substr(start, end - start);
    const std::string_view name = item.substr(0, item.find('='));
    if (!seen.insert(name).second) throw Error("die: " + Quoted(name) + " is given twice");
    ParseItem(item, &die);
    start = end + 1;
  }
  CheckTogether(die);
  return die;
}

void CheckDie(const Die& die, const LayerConfig& config) {
  const auto fail = [&config](const std::string& what) { config.Fail("die: " + what); };
  const size_t levels = static_cast<size_t>(config.top_level()) + 1;
  if (die.has_analog_cells() && die.mean.size() != levels) {
    fail("mean has " + std::to_string(die.mean.size()) + " numbers, but cells have " + std::to_string(levels) +
         " levels");
  }
  if (config.adc_bits == 0) {
    const char* name = die.has_gain()      ? "gain"
                       : die.has_offset()  ? "offset"
                       : die.code_flip > 0 ? "code_flip"
                                           : nullptr;
    if (name != nullptr) fail(std::string(name) + " is not 0, but the layer's converters are ideal (adc_bits 0)");
  } else if (die.code_flip > 0 && die.code_flip_bit >= config.adc_bits) {
    fail("code_flip_bit " + std::to_string(die.code_flip_bit) + " is not below adc_bits " +
         std::to_string(config.adc_bits));
  }
  if (die.activation_flip > 0 && die.activation_flip_bit >= config.input_bits) {
    fail("activation_flip_bit " + std::to_string(die.activation_flip_bit) + " is not below input_bits " +
         std::to_string(config.input_bits));
  }
  const int64_t driven = config.active_rows * config.top_pulse();
  if ((die.has_analog_cells() || die.reads_differ()) && driven > kMostDriven) {
    fail("analog reads hold the sums of " + std::to_string(kMostDriven) +
         " wordlines times the largest pulse, not of " + std::to_string(driven));
  }
  if (die.between > 0 && config.cell_bits == 1) fail("between is above 0, but cells have no levels between two");
}

}  // namespace rcompile
