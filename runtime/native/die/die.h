// Dies: the physics of one chip in numbers, and its stuck cells if they were measured.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "layer/layer.h"

namespace rcompile {

// A code a cell, packed (faults.h).
using FaultMap = std::vector<uint8_t>;

// rcompile/hardware/physics.py has the same names and says what they mean; everything is in levels.  A clean die is
// Die{}.
struct Die {
  bool mapped = false;  // which cells are stuck is in `maps`; layers without a map have no faults
  uint64_t seed = 0;
  double sa0 = 0;
  double sa1 = 0;
  double between = 0;
  int cluster_side = 0;  // 0: cells are independent
  int cluster_alpha = 1;
  double cluster_scale = 1;
  double wordline = 0;
  double bitline = 0;
  double crossbar = 0;
  // By level; empty: cells hold their levels exactly.
  std::vector<float> base;  // none: 0
  std::vector<float> mean;
  std::vector<float> sigma;
  std::vector<float> reach;
  std::vector<float> spread;
  double wordline_drop = 0;
  double bitline_drop = 0;
  double gain = 0;
  double gain_sigma = 0;
  double offset = 0;
  double offset_sigma = 0;
  double cell_noise = 0;
  double noise = 0;
  double code_flip = 0;
  int code_flip_bit = -1;  // -1: any
  double activation_flip = 0;
  int activation_flip_bit = -1;
  std::map<std::string, FaultMap, std::less<>> maps;  // by layer name

  bool has_stuck_cells() const { return sa0 > 0 || sa1 > 0 || between > 0 || has_lines(); }
  bool has_lines() const { return wordline > 0 || bitline > 0 || crossbar > 0; }
  bool has_analog_cells() const { return !mean.empty(); }
  bool has_noise() const { return noise > 0 || cell_noise > 0; }  // every read is another draw
  bool has_gain() const { return gain != 0 || gain_sigma > 0; }
  bool has_offset() const { return offset != 0 || offset_sigma > 0; }
  // A read is not what the sum of the cells' levels and the converter make it.
  bool reads_differ() const { return has_noise() || has_gain() || has_offset() || code_flip > 0; }
  bool operator==(const Die&) const = default;
};

// `clean`, or the numbers of docs/runtime.md, each checked against its range.  A mapped die has no maps yet.
Die ParseDie(std::string_view text);
// Throws Error naming the key if the die does not fit a layer.
void CheckDie(const Die& die, const LayerConfig& config);

}  // namespace rcompile
