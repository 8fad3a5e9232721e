#include "hostile_node.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "numbers.h"

namespace fuzz {
namespace {

using ortabi::KernelInfo;
using ortabi::Value;

constexpr int64_t kNumbers[] = {0,  1,    -1,   2,     3,       7,         8,         15,        16,        17,
                                64, 127,  128,  255,   256,     4096,      65536,     1 << 20,   INT32_MAX, INT32_MIN,
                                -2, -128, 1000, 32768, 1 << 30, INT64_MAX, INT64_MIN, 1LL << 40, 63,        65};

// Another value for an attribute, of its type or of another.
KernelInfo::Attribute OtherValue(FuzzedDataProvider* data, const KernelInfo::Attribute& now) {
  if (const auto* list = std::get_if<std::vector<int64_t>>(&now); list != nullptr && data->ConsumeBool()) {
    std::vector<int64_t> changed = *list;
    changed.resize(data->ConsumeIntegralInRange<size_t>(0, 70), 1);
    if (!changed.empty()) changed[data->ConsumeIntegral<uint8_t>() % changed.size()] = data->PickValueInArray(kNumbers);
    return changed;
  }
  if (const auto* number = std::get_if<int64_t>(&now); number != nullptr && data->ConsumeBool()) {
    if (data->ConsumeBool()) return data->PickValueInArray(kNumbers);
    return static_cast<int64_t>(static_cast<uint64_t>(*number) + data->PickValueInArray<uint64_t>({1, UINT64_MAX}));
  }
  switch (data->ConsumeIntegralInRange(0, 3)) {
    case 0: return data->PickValueInArray(kNumbers);
    case 1:
      return data->PickValueInArray(
          {-1.f, 1e-45f, 3e38f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 1.f});
    case 2: return std::vector<int64_t>(data->ConsumeIntegralInRange<size_t>(0, 5), data->PickValueInArray(kNumbers));
    default:
      if (data->ConsumeBool()) return data->ConsumeRandomLengthString(40);
      return std::string(data->PickValueInArray(
          {"",     "nan",  "inf",    "-inf", "1e308",  "1e-308",         "0.00390625", "0x10", "1048576", "1048577",
           "4096", "mean", "median", "cell", "select", "sign_magnitude", "offset",     "2",    "-0",      "3.5"}));
  }
}

void ChangeTensor(FuzzedDataProvider* data, Value* value) {
  switch (data->ConsumeIntegralInRange(0, 9)) {
    case 0: value->type = data->ConsumeIntegralInRange(0, 23); return;
    case 1:
      if (!value->dims.empty() && data->ConsumeBool())
        value->dims.pop_back();
      else
        value->dims.push_back(data->ConsumeIntegralInRange<int64_t>(0, 2));
      break;
    case 2:
      if (value->dims.empty()) return;
      value->dims[data->ConsumeIntegral<uint8_t>() % value->dims.size()] = data->ConsumeIntegralInRange<int64_t>(0, 80);
      break;
    default:
      if (value->bytes.size() <= value->shift) return;
      const size_t size = value->bytes.size() - value->shift, width = value->type == ortabi::kUint8 ? 1 : 4;
      uint8_t* at = value->bytes.data() + value->shift + data->ConsumeIntegral<uint32_t>() % size / width * width;
      const int32_t number = data->ConsumeBool() ? data->ConsumeIntegralInRange(-1, 16)
                                                 : static_cast<int32_t>(data->PickValueInArray(kNumbers));
      std::memcpy(at, &number, width);
      return;
  }
  // ONNX Runtime gives no tensor that holds less than its shape says.
  size_t size = value->type == ortabi::kUint8 ? 1 : 4;
  for (const int64_t dim : value->dims) size *= static_cast<size_t>(dim);
  value->bytes.resize(value->shift + std::min<size_t>(size, 1 << 20));
  value->bytes.shrink_to_fit();
}

}  // namespace

void ChangeNode(FuzzedDataProvider* data, KernelInfo* node) {
  if (data->ConsumeBool()) {
    const auto tensor = std::next(node->constants.begin(),
                                  data->ConsumeIntegral<uint8_t>() % std::max<size_t>(node->constants.size(), 1));
    if (tensor == node->constants.end()) return;
    if (data->ConsumeIntegralInRange(0, 15) == 15)
      node->constants.erase(tensor);
    else
      ChangeTensor(data, &tensor->second);
    return;
  }
  const auto attribute = std::next(node->attributes.begin(),
                                   data->ConsumeIntegral<uint8_t>() % std::max<size_t>(node->attributes.size(), 1));
  if (attribute == node->attributes.end()) return;
  if (data->ConsumeIntegralInRange(0, 15) == 15)
    node->attributes.erase(attribute);
  else
    attribute->second = OtherValue(data, attribute->second);
}

Value InputOf(FuzzedDataProvider* data, const KernelInfo& node) {
  constexpr float kSpecial[] = {0.f,
                                -0.f,
                                1e-45f,
                                3e38f,
                                -3e38f,
                                std::numeric_limits<float>::infinity(),
                                std::numeric_limits<float>::quiet_NaN()};
  const auto inputs = node.attributes.find("inputs");
  int64_t size = inputs == node.attributes.end() ? 1 : std::get<int64_t>(inputs->second);
  if (data->ConsumeIntegralInRange(0, 15) == 15) size = data->ConsumeIntegralInRange<int64_t>(0, 80);
  const int64_t rows =
      data->ConsumeIntegralInRange<int64_t>(0, 4) + (data->ConsumeIntegralInRange(0, 31) == 31 ? 66 : 0);
  Numbers numbers(data->ConsumeIntegral<uint32_t>());
  const bool special = data->ConsumeIntegralInRange(0, 7) == 7;
  std::vector<float> x(rows * size);
  for (float& value : x) {
    value = static_cast<float>(numbers.Below(2001) - 1000) / 100;
    if (special && numbers.Once(40)) value = kSpecial[numbers.Below(std::size(kSpecial))];
  }
  std::vector<int64_t> dims = {rows, size};
  if (data->ConsumeBool()) dims.insert(dims.begin(), 1);
  return Tensor(ortabi::kFloat32, std::move(dims), x, 0);
}

std::string DieText(FuzzedDataProvider* data) {
  constexpr const char* kKeys[] = {"seed",
                                   "sa0",
                                   "sa1",
                                   "between",
                                   "cluster_side",
                                   "cluster_alpha",
                                   "cluster_scale",
                                   "wordline",
                                   "bitline",
                                   "crossbar",
                                   "wordline_drop",
                                   "bitline_drop",
                                   "gain",
                                   "gain_sigma",
                                   "offset",
                                   "offset_sigma",
                                   "cell_noise",
                                   "noise",
                                   "code_flip",
                                   "code_flip_bit",
                                   "activation_flip",
                                   "activation_flip_bit"};
  constexpr const char* kValues[] = {"0",   "1",   "0.1",  "0.01",  "0.5",  "2",  "7",       "-1", "1e-9", "1e9", "16",
                                     "nan", "inf", "4096", "-4096", "1e30", "14", "0.00001", "",   "0.3",  "3",   "x"};
  std::string text = data->ConsumeBool() ? "" : "seed=5";
  const auto add = [&](const std::string& item) { text += (text.empty() ? "" : ",") + item; };
  const int items = data->ConsumeIntegralInRange(0, 4);
  for (int i = 0; i < items; ++i) {
    add(std::string(data->PickValueInArray(kKeys)) + "=" + data->PickValueInArray(kValues));
  }
  if (data->ConsumeBool()) {
    const int levels = 1 << data->ConsumeIntegralInRange(1, 4);
    for (const char* key : {"mean", "sigma", "reach", "spread", "base"}) {
      if (std::string(key) == "base" && data->ConsumeBool()) break;
      std::string list;
      for (int level = 0; level < levels; ++level) {
        const double value = key[0] == 'm' ? level : data->PickValueInArray({0., 0.1, 0.9});
        list += (level > 0 ? ":" : "") + std::to_string(value);
      }
      add(std::string(key) + "=" + list);
    }
  }
  if (data->ConsumeIntegralInRange(0, 7) == 7) add(data->ConsumeBool() ? "map" : data->ConsumeRandomLengthString(60));
  return text;
}

}  // namespace fuzz
