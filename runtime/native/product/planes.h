// The planes of input codes: docs/hardware.md, "Inputs".
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "layer/config.h"

namespace rcompile {

// One DAC cycle: each wordline is driven with a pulse, which is some bits of its feature's code.
struct Plane {
  int32_t weight;
  int first_bit;
  int bits;  // the last pulse of a code may have fewer than `dac_bits`
};

// In the order in which they are driven.  With sign and magnitude, the first half drives positive codes, the second
// half negative ones.
std::vector<Plane> PlanesOf(const LayerConfig& config);

// Of 8 * octets codes, the bits of their pulses as patterns [plane][bit][2 * octets] of four codes each, times
// kPatternScale; and by plane, the sum of the pulses.
void PackPatterns(const uint8_t* coded, int octets, std::span<const Plane> planes, int dac_bits, uint8_t* x,
                  uint16_t* populations);

// Of groups * width codes, whose pulses are single bits, patterns [group][plane] of `width` codes each; `x_stride` is
// that of the groups.
void PackLanes(const uint8_t* coded, int groups, int width, std::span<const Plane> planes, uint8_t* x, int64_t x_stride,
               uint16_t* populations);

}  // namespace rcompile
