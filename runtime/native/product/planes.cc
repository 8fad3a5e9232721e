#include "product/planes.h"

#include <algorithm>

#include "simd/reads.h"

namespace rcompile {
namespace {

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

// The pulses of a code of so many bits.
void AddPlanes(int bits, int dac_bits, int sign, std::vector<Plane>* planes) {
  for (int bit = 0; bit < bits; bit += dac_bits) {
    planes->push_back({sign * (1 << bit), bit, std::min(dac_bits, bits - bit)});
  }
}

}  // namespace

std::vector<Plane> PlanesOf(const LayerConfig& config) {
  std::vector<Plane> planes;
  const int sign_bit = config.input_bits - 1;
  const bool is_offset = config.input_coding == InputCoding::kOffset;
  AddPlanes(is_offset ? config.input_bits : sign_bit, config.dac_bits, 1, &planes);
  if (config.input_coding == InputCoding::kSignMagnitude) AddPlanes(sign_bit, config.dac_bits, -1, &planes);
  if (config.input_coding == InputCoding::kTwosComplement) planes.push_back({-(1 << sign_bit), sign_bit, 1});
  return planes;
}

void PackPatterns(const uint8_t* coded, int octets, std::span<const Plane> planes, int dac_bits, uint8_t* x,
                  uint16_t* populations) {
  std::fill_n(populations, planes.size(), uint16_t{0});
  for (int octet = 0; octet < octets; ++octet) {
    const uint64_t codes = LoadCodes(coded + 8 * octet, 8);
    for (size_t plane = 0; plane < planes.size(); ++plane) {
      for (int bit = 0; bit < dac_bits; ++bit) {
        const uint64_t ones = bit < planes[plane].bits ? codes >> (planes[plane].first_bit + bit) & kLowBits : 0;
        const unsigned pattern = PatternOf(ones);
        uint8_t* patterns = x + 2 * ((static_cast<int64_t>(plane) * dac_bits + bit) * octets + octet);
        patterns[0] = static_cast<uint8_t>((pattern & 15) * kPatternScale);
        patterns[1] = static_cast<uint8_t>((pattern >> 4) * kPatternScale);
        populations[plane] = static_cast<uint16_t>(populations[plane] + (CountOf(ones) << bit));
      }
    }
  }
}

void PackLanes(const uint8_t* coded, int groups, int width, std::span<const Plane> planes, uint8_t* x, int64_t x_stride,
               uint16_t* populations) {
  std::fill_n(populations, planes.size(), uint16_t{0});
  for (int group = 0; group < groups; ++group, coded += width, x += x_stride) {
    const uint64_t codes = LoadCodes(coded, width);
    for (size_t plane = 0; plane < planes.size(); ++plane) {
      const uint64_t ones = codes >> planes[plane].first_bit & kLowBits;
      x[plane] = static_cast<uint8_t>(PatternOf(ones));
      populations[plane] = static_cast<uint16_t>(populations[plane] + CountOf(ones));
    }
  }
}

}  // namespace rcompile
