#include "die/flips.h"

#include <algorithm>

#include "die/randomness.h"

namespace rcompile {

ActivationFlips::ActivationFlips(const Die& die, const Layer& layer)
    : struck_(Event(die.activation_flip)),
      key_(CrossbarKey(die.seed, Purpose::kActivation, layer.arrays().tiles > 0 ? layer.arrays().crossbar[0] : 0)),
      bit_(die.activation_flip_bit),
      inputs_(layer.config().inputs),
      input_bits_(layer.config().input_bits) {}

void ActivationFlips::Apply(int8_t* codes, QuantizedRow* row) const noexcept {
  if (!struck_.possible) return;
  const WordKey key = Halves(RowKey(key_, RowDigest(codes, inputs_)));
  const int top = 1 << (input_bits_ - 1);
  for (int64_t k = 0; k < inputs_; ++k) {
    const uint32_t index = static_cast<uint32_t>(k);
    if (WordOf(key, index) > struck_.last) continue;
    const uint64_t word = WordOf(key, index ^ 0x80000000u);
    const int bit = bit_ < 0 ? static_cast<int>(word * static_cast<uint64_t>(input_bits_) >> 32) : bit_;
    const int flipped = (codes[k] & (2 * top - 1)) ^ 1 << bit;
    const int code = std::max((flipped ^ top) - top, 1 - top);  // the lowest code of two's complement cannot be driven
    row->sum += code - codes[k];
    codes[k] = static_cast<int8_t>(code);
  }
}

}  // namespace rcompile
