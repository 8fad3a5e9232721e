#include <algorithm>
#include <cstring>
#include <limits>

#include "product/bit_serial.h"

namespace rcompile {
namespace {

constexpr int kMaxWordlines = 4096;
constexpr uint64_t kLowBits = 0x0101010101010101u;

// Up to eight codes, the first one lowest.
uint64_t LoadCodes(const uint8_t* coded, int count) {
  uint64_t codes = 0;
  for (int i = 0; i < count; ++i) codes |= static_cast<uint64_t>(coded[i]) << (8 * i);
  return codes;
}

// Of eight codes' bits in the lowest bit of each byte: the pattern, the first code's in bit 0, and how many are set.
unsigned PatternOf(uint64_t ones) { return static_cast<unsigned>((ones * 0x0102040810204080u) >> 56); }
int CountOf(uint64_t ones) { return static_cast<int>((ones * kLowBits) >> 56); }

// Patterns [group][plane] of the bits of `width` codes, and the number of ones in each plane.
void PackLanes(const uint8_t* coded, int groups, int width, int planes, uint8_t* x, int64_t x_stride,
               int* populations) {
  std::fill_n(populations, planes, 0);
  for (int group = 0; group < groups; ++group, coded += width, x += x_stride) {
    const uint64_t codes = LoadCodes(coded, width);
    for (int plane = 0; plane < planes; ++plane) {
      const uint64_t ones = codes >> plane & kLowBits;
      x[plane] = static_cast<uint8_t>(PatternOf(ones));
      populations[plane] += CountOf(ones);
    }
  }
}

template <class T>
void Grow(std::vector<T>* vector, int64_t size) {
  if (static_cast<int64_t>(vector->size()) < size) vector->resize(size);
}

}  // namespace

void PackPlanes(const uint8_t* coded, int octets, const SerialMode::Digit* digits, int planes, int dac_bits, uint8_t* x,
                int* populations) {
  std::fill_n(populations, planes, 0);
  for (int octet = 0; octet < octets; ++octet) {
    const uint64_t codes = LoadCodes(coded + 8 * octet, 8);
    for (int plane = 0; plane < planes; ++plane) {
      for (int bit = 0; bit < dac_bits; ++bit) {
        const uint64_t ones = bit < digits[plane].bits ? codes >> (digits[plane].first_bit + bit) & kLowBits : 0;
        const unsigned pattern = PatternOf(ones);
        uint8_t* patterns = x + 2 * ((plane * dac_bits + bit) * octets + octet);
        patterns[0] = static_cast<uint8_t>((pattern & 15) * kPatternScale);
        patterns[1] = static_cast<uint8_t>((pattern >> 4) * kPatternScale);
        populations[plane] += CountOf(ones) << bit;
      }
    }
  }
}

SerialInputs::SerialInputs(const Layer& layer, const SerialMode& mode, const SerialPlan& plan)
    : config_(layer.config()), mode_(mode), plan_(plan), has_leak_(config_.hrs_levels > 0) {
  if (plan.empty() || !has_leak_) return;
  for (int64_t population = 0; population <= config_.active_rows * config_.top_digit(); ++population) {
    leak_of_.push_back(config_.Leak(population));
    digital_leak_of_.push_back(config_.DigitalLeak(population));
  }
}

void SerialInputs::Reserve(int64_t rows, SerialStorage* storage) {
  storage_ = storage;
  if (plan_.empty()) return;
  if (has_leak_) Grow(&storage->digital, rows * static_cast<int64_t>(plan_.blocks.size()));
  if (mode_.lookup > 0) {
    const int64_t whole = (rows + kSerialRows - 1) / kSerialRows * kSerialRows;
    storage->x.Reserve(static_cast<size_t>(whole * plan_.x_size));
    if (has_leak_) Grow(&storage->lane_limits, whole * plan_.terms);
    return;
  }
  storage->x.Reserve(static_cast<size_t>(rows * plan_.x_size));
  Grow(&storage->planes, rows * plan_.units);
  const int64_t terms = has_leak_ ? rows * plan_.terms : mode_.planes();
  if (mode_.kind == ReadKind::kStepped) {
    Grow(&storage->leaks, terms);
    if (!has_leak_) std::fill_n(storage->leaks.begin(), terms, 0.0);
  } else {
    Grow(&storage->limits, terms);
    if (!has_leak_) std::fill_n(storage->limits.begin(), terms, static_cast<uint32_t>(config_.adc_max()));
  }
}

void SerialInputs::PackRow(int64_t row, const int8_t* codes) noexcept {
  for (size_t b = 0; b < plan_.blocks.size(); ++b) {
    int64_t digital = 0;
    for (const SerialUnit& unit : plan_.blocks[b].units) {
      digital += SetTerms(row, unit, PackUnit(row, plan_.blocks[b], unit, codes));
    }
    if (has_leak_) storage_->digital[row * plan_.blocks.size() + b] = digital;
  }
}

SerialInputs::Populations SerialInputs::PackUnit(int64_t row, const SerialBlock& block, const SerialUnit& unit,
                                                 const int8_t* codes) noexcept {
  const bool by_sign = config_.input_coding == InputCoding::kSignMagnitude;
  const int passes = by_sign ? 2 : 1;  // the positive planes, then the negative ones
  const int planes = mode_.planes() / passes;
  const int32_t* inputs = block.rows->inputs.data() + unit.wordlines.first;
  uint8_t coded[kMaxWordlines + 8];
  Populations populations;
  for (int pass = 0; pass < passes; ++pass) {
    const int sign = pass == 0 ? 1 : -1;
    for (int i = 0; i < unit.wordlines.count; ++i) {
      const int code = codes[inputs[i]];
      coded[i] = static_cast<uint8_t>(by_sign ? std::max(sign * code, 0) : code + config_.input_offset());
    }
    std::memset(coded + unit.wordlines.count, 0, 8);
    int* const ones = populations.data() + pass * planes;
    if (mode_.lookup > 0) {
      uint8_t* const x = storage_->x.data() + LanesOf(row, unit) + pass * planes;
      PackLanes(coded, unit.groups, mode_.lookup, planes, x, kSerialRows * mode_.row_lanes(), ones);
    } else {
      const int first_plane = pass * planes;
      uint8_t* const x =
          storage_->x.data() + row * plan_.x_size + unit.x_offset + 2 * first_plane * mode_.dac_bits * unit.groups;
      PackPlanes(coded, unit.groups, mode_.digits.data() + first_plane, planes, mode_.dac_bits, x, ones);
    }
  }
  return populations;
}

// Decides which planes to read; with leakage also sets the unit's limits or leaks, and returns the sum over the planes
// of what every read subtracts digitally.
int64_t SerialInputs::SetTerms(int64_t row, const SerialUnit& unit, const Populations& populations) noexcept {
  const int64_t term = row * plan_.terms + unit.term_offset;
  unsigned planes = 0;
  int64_t digital = 0;
  for (int plane = 0; plane < mode_.planes(); ++plane) {
    const int population = populations[plane];
    const int64_t leak = has_leak_ ? digital_leak_of_[population] : 0;
    const int64_t limit = config_.adc_max() - leak;  // min(sum + leak, max) - leak
    const bool excess = mode_.kind == ReadKind::kExcess;
    const bool matters = excess ? int64_t{population} * config_.top_level() > limit : population > 0;
    planes |= static_cast<unsigned>(matters) << plane;
    if (!has_leak_) continue;
    const int64_t weight = mode_.plane_weight[plane];
    if (mode_.kind == ReadKind::kStepped) {
      storage_->leaks[term + plane] = leak_of_[population];
      digital += weight * leak;
    } else {
      // A negative limit has a part that no unsigned lane can hold.
      const int64_t held = std::clamp<int64_t>(limit, 0, std::numeric_limits<uint32_t>::max());
      if (mode_.lookup > 0) {
        storage_->lane_limits[LaneLimitsOf(row, unit) + plane] = static_cast<uint8_t>(held);
      } else {
        storage_->limits[term + plane] = static_cast<uint32_t>(held);
      }
      digital += weight * std::min<int64_t>(limit, 0) * (excess ? 1 : -1);
    }
  }
  if (mode_.lookup == 0) storage_->planes[row * plan_.units + unit.number] = static_cast<uint16_t>(planes);
  return digital;
}

}  // namespace rcompile
