// A node as a hostile model holds it, and dies as a hostile option does: each is refused with an Error, or computed,
// and then alike by every kernel, read by read and collapsed.
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "hostile_node.h"
#include "simd/kernels.h"

namespace fuzz {
namespace {

using ortabi::Value;

constexpr const char* kPrefix = "rcompile.";
// What a node may ask for that a small machine cannot give: weights that few cells stand for.
constexpr int64_t kMostWeights = 1 << 22;

std::vector<std::string> KernelNames() {
  std::vector<std::string> names;
  for (const char* name : {"portable", "avx2", "avx512", "avx512vbmi"}) {
    try {
      rcompile::SelectKernels(name);
      names.push_back(name);
    } catch (const rcompile::Error&) {
      // This CPU lacks it.
    }
  }
  return names;
}

int64_t NumberOf(const ortabi::KernelInfo& node, const char* name) {
  const auto found = node.attributes.find(name);
  const auto* number = found == node.attributes.end() ? nullptr : std::get_if<int64_t>(&found->second);
  return number == nullptr ? 0 : *number;
}

bool IsTooLarge(const ortabi::KernelInfo& node) {
  const int64_t inputs = NumberOf(node, "inputs"), outputs = NumberOf(node, "outputs");
  return inputs > 0 && outputs > 0 && inputs <= 1 << 30 && outputs <= 1 << 30 && inputs * outputs > kMostWeights;
}

bool AreSame(const Value& a, const Value& b) {
  if (a.dims != b.dims || a.bytes.size() != b.bytes.size()) return false;
  for (size_t i = 0; i < a.bytes.size(); i += sizeof(float)) {
    float x, y;
    std::memcpy(&x, a.bytes.data() + i, sizeof x);
    std::memcpy(&y, b.bytes.data() + i, sizeof y);
    if (std::memcmp(&x, &y, sizeof x) != 0 && !(std::isnan(x) && std::isnan(y))) return false;
  }
  return true;
}

Session::Options Kernels(const std::string& isa, bool bit_serial) {
  return {{"isa", isa}, {"threads", "1"}, {"force_bit_serial", bit_serial ? "1" : "0"}};
}

void CheckNode(FuzzedDataProvider* data) {
  static const std::vector<std::string> kernels = KernelNames();
  ortabi::KernelInfo node = SoundNode(data);
  const int changes = data->ConsumeBool() ? data->ConsumeIntegralInRange(1, 3) : 0;
  const Value sound_x = InputOf(data, node);
  for (int i = 0; i < changes; ++i) ChangeNode(data, &node);
  if (IsTooLarge(node)) return;
  Session plain(Kernels("portable", false));
  const std::string refusal = plain.Create(node);
  Require(changes > 0 || refusal.empty(), ("a sound node is taken: " + refusal).c_str());
  if (!refusal.empty()) return;
  Value clean, other, again;
  if (!plain.Compute(sound_x, &clean).empty()) return;
  const std::string& isa = kernels[data->ConsumeIntegral<uint8_t>() % kernels.size()];
  Session second(Kernels(isa, data->ConsumeBool()));
  Require(second.Create(node).empty() && second.Create(node).empty(), "every kernel takes the node, twice");
  Require(second.Compute(sound_x, &other).empty() && AreSame(clean, other), "clean: kernels and ways to read agree");

  const Session::Options die = {{std::string(kPrefix) + "die", DieText(data)}};
  const std::string refused = plain.Change(die);
  Require(refused == second.Change(die), "every kernel says the same of a die");
  Require(plain.Compute(sound_x, &again).empty() && second.Compute(sound_x, &other).empty(), "a die is computed");
  Require(AreSame(again, other), "on a die: kernels and ways to read agree");
  Require(refused.empty() || AreSame(again, clean), "a refused die changes nothing");
  Require(plain.Change({{std::string(kPrefix) + "die", "clean"}}).empty(), "any layer takes the clean die");
  Require(plain.Compute(sound_x, &again).empty() && AreSame(again, clean), "a clean die is as before");
}

}  // namespace
}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  FuzzedDataProvider data(bytes, size);
  fuzz::CheckNode(&data);
  return 0;
}
