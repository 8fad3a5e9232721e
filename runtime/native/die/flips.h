// Soft errors in activations: bits of input codes that flip after quantization (runtime/die/flips.py).
#pragma once

#include <cstdint>

#include "die/die.h"
#include "layer/layer.h"
#include "simd/kernels.h"

namespace rcompile {

class ActivationFlips {
 public:
  ActivationFlips() = default;
  ActivationFlips(const Die& die, const Layer& layer);

  // Flips bits of one row of codes and keeps its sum right.
  void Apply(int8_t* codes, QuantizedRow* row) const noexcept;

 private:
  WordRange struck_{};
  uint64_t key_ = 0;
  int bit_ = -1;  // -1: any
  int64_t inputs_ = 0;
  int input_bits_ = 0;
};

}  // namespace rcompile
