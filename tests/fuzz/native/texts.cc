// Texts that come from outside: each parser refuses with an Error, or gives numbers in their ranges.
#include <fuzzer/FuzzedDataProvider.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "die/die.h"
#include "die/faults.h"
#include "fake_runtime.h"
#include "simd/kernels.h"

namespace fuzz {
namespace {

using namespace rcompile;

constexpr int64_t kRows = 9, kCols = 13;

void CheckDieText(const std::string& text, int cell_bits) {
  const Die die = ParseDie(text);
  Require(die == ParseDie(text), "a die is what its text says");
  Require(die.sa0 >= 0 && die.sa1 >= 0 && die.between >= 0 && die.sa0 + die.sa1 + die.between < 1.01, "rates");
  LayerConfig config;
  config.cell_bits = cell_bits;
  config.active_rows = kRows;
  config.input_bits = config.adc_bits = 8;
  CheckDie(die, config);
  if (die.mapped) return;
  std::vector<uint8_t> codes(kRows * kCols);
  const uint8_t top = static_cast<uint8_t>(config.top_level());
  DrawFaults(die, 3, kRows, kCols, top, SelectKernels("auto").cells, codes.data());
  for (const uint8_t code : codes) Require(code <= 1 + top, "a stuck cell is stuck at a level");
}

void CheckFaultMap(const std::string& text, int cell_bits) {
  const int top = (1 << cell_bits) - 1;
  const int64_t cells = static_cast<int64_t>(text.size() / 4 * 3) * (8 / FaultBits(top));
  for (const int64_t held : {cells, cells - 1, cells - 5, kRows * kCols}) {
    if (held < 1) continue;
    try {
      const FaultMap map = ParseFaultMap(text, held, top, "proj");
      std::vector<uint8_t> codes(held);
      UnpackFaults(map, top, 0, held, codes.data());
      for (const uint8_t code : codes) Require(code <= 1 + top, "a mapped cell is stuck at a level");
    } catch (const Error&) {
      // Of another size, or no fault map.
    }
  }
}

void CheckNumbers(const std::string& text) {
  const std::string what = "it";
  for (int kind = 0; kind < 3; ++kind) {
    try {
      if (kind == 0) {
        const int64_t number = ParseInteger(text, what);
        Require(ParseInteger(std::to_string(number), what) == number, "an integer is read back");
      } else if (kind == 1) {
        const uint64_t number = ParseUnsigned(text, what);
        Require(ParseUnsigned(std::to_string(number), what) == number, "a number is read back");
      } else {
        ParseDecimal(text, what);
      }
    } catch (const Error&) {
      // No such number.
    }
  }
}

void CheckOptions(FuzzedDataProvider* data) {
  Session session({{"threads", "1"}});
  const std::string key = data->PickValueInArray(
      {"rcompile.die", "rcompile.combiner", "rcompile.fault_map.proj", "rcompile.other", "other.key", "rcompile."});
  session.Change({{key, data->ConsumeRemainingBytesAsString()}, {"rcompile.die", "map"}});
}

void CheckText(FuzzedDataProvider* data) {
  const int kind = data->ConsumeIntegralInRange(0, 5), cell_bits = data->ConsumeIntegralInRange(1, 4);
  if (kind == 5) return CheckOptions(data);
  const std::string text = data->ConsumeRemainingBytesAsString();
  switch (kind) {
    case 0:
    case 1: return CheckDieText(text, cell_bits);
    case 2: return CheckFaultMap(text, cell_bits);
    case 3: return CheckNumbers(text);
    default:
      Session(Session::Options{{text.substr(0, text.find('=')), text.substr(text.find('=') + 1)}, {"threads", text}});
  }
}

}  // namespace
}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  FuzzedDataProvider data(bytes, size);
  try {
    fuzz::CheckText(&data);
  } catch (const rcompile::Error&) {
    // Refused.
  }
  return 0;
}
