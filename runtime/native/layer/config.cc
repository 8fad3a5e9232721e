#include "layer/config.h"

#include <bit>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/text.h"

namespace rcompile {
namespace {

// Limits that keep every sum inside its type; kernels.h and the kernels state the bounds that follow.
constexpr int64_t kMaxInputs = 65536;
constexpr int64_t kMaxOutputs = int64_t{1} << 20;
constexpr int64_t kMaxWeights = int64_t{1} << 31;
constexpr int64_t kMaxDigits = 64;  // as Layer::CheckDuplicates marks them
constexpr int64_t kMaxDigit = 128;
constexpr int64_t kMaxDigitSum = 255;
constexpr double kMinStep = 1.0 / 256;
constexpr double kMaxStep = 1 << 20;
constexpr double kMaxHrsLevels = 4096;
constexpr double kLeakGrid = 1 << 20;

}  // namespace

int64_t LayerConfig::adc_max() const {
  return adc_bits == 0 ? std::numeric_limits<int64_t>::max() / 2 : (int64_t{1} << adc_bits) - 1;
}

double LayerConfig::Leak(int64_t population) const {
  return std::nearbyint(hrs_levels * static_cast<double>(population) * kLeakGrid) / kLeakGrid;
}

int64_t LayerConfig::DigitalLeak(int64_t population) const {
  return static_cast<int64_t>(std::floor(Leak(population) + 0.5));
}

void LayerConfig::Fail(const std::string& what) const { throw Error("crossbar layer '" + name + "': " + what); }

void LayerConfig::CheckRange(const char* what, int64_t value, int64_t low, int64_t high) const {
  if (value >= low && value <= high) return;
  Fail(std::string(what) + " is " + std::to_string(value) + ", not in " + std::to_string(low) + " .. " +
       std::to_string(high));
}

void LayerConfig::Check() const {
  CheckRange("inputs", inputs, 1, kMaxInputs);
  CheckRange("outputs", outputs, 1, kMaxOutputs);
  CheckRange("inputs * outputs", inputs * outputs, 1, kMaxWeights);
  CheckDigits();
  for (const SmallNumber& number : kSmallNumbers) {
    CheckRange(number.attribute, this->*number.member, number.least, number.most(*this));
  }
  if (stored_bits != 8 && stored_bits != packed_bits()) {
    Fail("stored_bits is " + std::to_string(stored_bits) + ", neither 8 nor " + std::to_string(packed_bits()) +
         ", as cells of " + std::to_string(cell_bits) + " bits are packed");
  }
  if (!(input_scale >= 0) || !std::isfinite(input_scale)) {
    Fail("input_scale is " + std::to_string(input_scale) + ", neither 0 (dynamic) nor finite and positive");
  }
  if (!(adc_step_levels >= kMinStep && adc_step_levels <= kMaxStep)) {
    Fail("adc_step_levels is " + std::to_string(adc_step_levels) + ", not in 1/256 .. 2^20");
  }
  if (adc_bits == 0 && adc_step_levels != 1) {
    Fail("adc_step_levels is " + std::to_string(adc_step_levels) + ", but an ideal converter's (adc_bits 0) is 1");
  }
  if (!(hrs_levels >= 0 && hrs_levels <= kMaxHrsLevels)) {
    Fail("hrs_levels is " + std::to_string(hrs_levels) + ", not in 0 .. 4096");
  }
  if (likelier_level != 0 && likelier_level != top_level()) {
    Fail("likelier_level is " + std::to_string(likelier_level) + ", neither 0 nor the top level " +
         std::to_string(top_level()));
  }
}

void LayerConfig::CheckDigits() const {
  CheckRange("the number of digits", static_cast<int64_t>(digits.size()), 1, kMaxDigits);
  int64_t sum = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    const uint64_t digit = static_cast<uint64_t>(digits[i]), magnitude = digits[i] < 0 ? -digit : digit;
    if (!std::has_single_bit(magnitude) || magnitude > kMaxDigit) {
      Fail("digits[" + std::to_string(i) + "] is " + std::to_string(digits[i]) + ", not one of +-1, +-2, .. +-" +
           std::to_string(kMaxDigit));
    }
    sum += static_cast<int64_t>(magnitude);
  }
  CheckRange("the sum of the digits' magnitudes", sum, 1, kMaxDigitSum);
}

Combiner ParseCombiner(const std::string& text, const std::string& what) {
  std::string names;
  for (const auto& [name, combiner] : kCombiners) {
    if (text == name) return combiner;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  throw Error(what + " " + Quoted(text) + " is not one of " + names);
}

}  // namespace rcompile
