#include "ort/operator.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "ort/call.h"

namespace rcompile {
namespace {

using namespace ortabi;

// Reads and checks the attributes and constant inputs of one node.
class NodeReader {
 public:
  explicit NodeReader(const KernelInfo* info) : info_(info) {}

  LayerConfig Config();
  LayerArrays Arrays(const LayerConfig& config);
  std::vector<float> Vector(size_t input, int64_t size, bool positive);

 private:
  struct Tensor {
    const void* data;
    std::vector<int64_t> dims;
  };

  std::string String(const char* name);
  int64_t Integer(const char* name, int64_t low, int64_t high);
  std::vector<int64_t> Integers(const char* name);
  double Decimal(const char* name) { return ParseDecimal(String(name), Where(std::string("attribute ") + name)); }
  template <class Enum>
  Enum Choice(const char* name, std::initializer_list<std::pair<const char*, Enum>> choices);
  void CheckAttribute(const char* name, Status* status);
  Tensor Constant(size_t input);
  template <class T>
  const T* Map(size_t input, const std::vector<int64_t>& dims);
  std::string Where(const std::string& what) const { return "crossbar layer '" + layer_ + "': " + what; }
  [[noreturn]] void Fail(const std::string& what) const { throw Error(Where(what)); }

  const KernelInfo* info_;
  std::string layer_;
};

std::string ShapeText(const std::vector<int64_t>& dims) {
  std::string text = "[";
  for (const int64_t dim : dims) text += (text.size() > 1 ? ", " : "") + std::to_string(dim);
  return text + "]";
}

void NodeReader::CheckAttribute(const char* name, Status* status) {
  if (status == nullptr) return;
  Ort<api::ReleaseStatus>(status);
  Fail(std::string("attribute ") + name + " is missing or has the wrong type");
}

std::string NodeReader::String(const char* name) {
  size_t size = 0;  // with the terminating zero
  CheckAttribute(name, Ort<api::KernelInfoGetAttribute_string>(info_, name, nullptr, &size));
  std::string value(size, '\0');
  CheckAttribute(name, Ort<api::KernelInfoGetAttribute_string>(info_, name, value.data(), &size));
  if (!value.empty()) value.pop_back();
  return value;
}

std::vector<int64_t> NodeReader::Integers(const char* name) {
  size_t size = 0;
  CheckAttribute(name, Ort<api::KernelInfoGetAttributeArray_int64>(info_, name, nullptr, &size));
  std::vector<int64_t> values(size);
  CheckAttribute(name, Ort<api::KernelInfoGetAttributeArray_int64>(info_, name, values.data(), &size));
  return values;
}

int64_t NodeReader::Integer(const char* name, int64_t low, int64_t high) {
  int64_t value = 0;
  CheckAttribute(name, Ort<api::KernelInfoGetAttribute_int64>(info_, name, &value));
  if (value < low || value > high) {
    Fail(std::string(name) + " is " + std::to_string(value) + ", not in " + std::to_string(low) + " .. " +
         std::to_string(high));
  }
  return value;
}

template <class Enum>
Enum NodeReader::Choice(const char* name, std::initializer_list<std::pair<const char*, Enum>> choices) {
  const std::string value = String(name);
  std::string allowed;
  for (const auto& [text, choice] : choices) {
    if (value == text) return choice;
    allowed += (allowed.empty() ? "" : ", ") + std::string(text);
  }
  Fail(std::string(name) + " is '" + value.substr(0, 80) + "', not one of " + allowed);
}

LayerConfig NodeReader::Config() {
  constexpr int64_t kAny = int64_t{1} << 30;  // Check narrows these down
  layer_ = String("layer");
  LayerConfig config;
  config.name = layer_;
  config.inputs = Integer("inputs", 1, kAny);
  config.outputs = Integer(kOutputsAttribute, 1, kAny);
  config.digits = Integers("digits");
  for (const SmallNumber& number : kSmallNumbers) {
    config.*number.member = static_cast<int>(Integer(number.attribute, -kAny, kAny));
  }
  config.input_coding = Choice<InputCoding>("input_coding", {{"twos_complement", InputCoding::kTwosComplement},
                                                             {"sign_magnitude", InputCoding::kSignMagnitude},
                                                             {"offset", InputCoding::kOffset}});
  CheckAttribute("input_scale", Ort<api::KernelInfoGetAttribute_float>(info_, "input_scale", &config.input_scale));
  config.active_rows = Integer("active_rows", 1, kAny);
  config.adc_step_levels = Decimal("adc_step_levels");
  config.hrs_levels = Decimal("hrs_levels");
  config.combiner = ParseCombiner(String("combiner"), Where("combiner"));
  config.Check();
  return config;
}

NodeReader::Tensor NodeReader::Constant(size_t input) {
  const OpInput& expected = kOpInputs[input];
  int is_constant = 0;
  const Value* value = nullptr;
  Check(Ort<api::KernelInfoGetConstantInput>(info_, input, &is_constant, &value));
  if (!is_constant || value == nullptr) Fail(std::string(expected.name) + " is not a constant");
  int type = 0;
  const int64_t* dims = nullptr;
  size_t rank = 0;
  Check(Ort<api::GetTensorTypeAndShapeReference>(value, &type, &dims, &rank));
  if (type != expected.type) Fail(std::string(expected.name) + " has element type " + std::to_string(type));
  Tensor tensor{nullptr, std::vector<int64_t>(dims, dims + rank)};
  Check(Ort<api::GetTensorData>(value, &tensor.data));
  return tensor;
}

template <class T>
const T* NodeReader::Map(size_t input, const std::vector<int64_t>& dims) {
  const Tensor tensor = Constant(input);
  if (tensor.dims != dims) {
    Fail(std::string(kOpInputs[input].name) + " has shape " + ShapeText(tensor.dims) + ", not " + ShapeText(dims));
  }
  return static_cast<const T*>(tensor.data);
}

LayerArrays NodeReader::Arrays(const LayerConfig& config) {
  const auto dims = [this](size_t input, size_t rank, const char* expected) {
    const Tensor tensor = Constant(input);
    if (tensor.dims.size() == rank) return tensor.dims;
    Fail(std::string(kOpInputs[input].name) + " has shape " + ShapeText(tensor.dims) + ", not " + expected);
  };
  const std::vector<int64_t> levels = dims(1, 3, "[tiles, rows, bytes]");
  LayerArrays arrays;
  arrays.tiles = levels[0];
  arrays.rows = levels[1];
  arrays.cols = dims(4, 2, "[tiles, cols]")[1];
  arrays.levels = Map<uint8_t>(1, {arrays.tiles, arrays.rows, config.StoredBytes(arrays.cols)});
  if (config.active_rows > arrays.rows) Fail("active_rows is more than the rows of a tile");
  arrays.crossbar = Map<int32_t>(2, {arrays.tiles});
  arrays.wordline_input = Map<int32_t>(3, {arrays.tiles, arrays.rows});
  const std::vector<int64_t> per_bitline = {arrays.tiles, arrays.cols};
  arrays.bitline_output = Map<int32_t>(4, per_bitline);
  arrays.bitline_digit = Map<uint8_t>(5, per_bitline);
  arrays.bitline_replica = Map<uint8_t>(6, per_bitline);
  arrays.bitline_inverted = Map<uint8_t>(7, per_bitline);
  return arrays;
}

std::vector<float> NodeReader::Vector(size_t input, int64_t size, bool positive) {
  const float* stored = Map<float>(input, {size});
  std::vector<float> values(stored, stored + size);
  for (int64_t n = 0; n < size; ++n) {
    if (std::isfinite(values[n]) && (values[n] > 0 || !positive)) continue;
    Fail(std::string(kOpInputs[input].name) + "[" + std::to_string(n) + "] is " + std::to_string(values[n]) +
         (positive ? ", not finite and positive" : ", not finite"));
  }
  return values;
}

// The thread pool that a call of the node may use.
ThreadPool ThreadsOf(const KernelContext* context) {
  const auto run = [](const void* pool, ThreadPool::Task task, void* state, size_t count) {
    Check(Ort<api::KernelContext_ParallelFor>(static_cast<const KernelContext*>(pool), task, count, size_t{0}, state));
  };
  return {run, context};
}

// Shape of x, checked against the layer; returns the number of rows.
int64_t CheckInput(const Value* x, const LayerConfig& config, std::vector<int64_t>* dims) {
  if (x == nullptr) config.Fail("input x is missing");
  int type = 0;
  const int64_t* shape = nullptr;
  size_t rank = 0;
  Check(Ort<api::GetTensorTypeAndShapeReference>(x, &type, &shape, &rank));
  if (type != kFloat32) config.Fail("input x is not float32");
  dims->assign(shape, shape + rank);
  if (rank == 0 || dims->back() != config.inputs) {
    config.Fail("input x has shape " + ShapeText(*dims) + ", whose last dimension is not " +
                std::to_string(config.inputs));
  }
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < rank; ++i) rows *= shape[i];
  return rows;
}

}  // namespace

CrossbarMatMul::CrossbarMatMul(const KernelInfo* info, std::shared_ptr<LayerStore> store) : store_(std::move(store)) {
  NodeReader reader(info);
  LayerConfig config = reader.Config();
  const LayerArrays arrays = reader.Arrays(config);
  weight_scale_ = reader.Vector(8, config.outputs, true);
  bias_ = reader.Vector(9, config.outputs, false);
  deployed_ = store_->Deploy(std::move(config), arrays);
}

void CrossbarMatMul::Compute(KernelContext* context) const {
  const Layer& layer = deployed_->layer();
  const Value* x = nullptr;
  Check(Ort<api::KernelContext_GetInput>(context, size_t{0}, &x));
  std::vector<int64_t> dims;
  MatMulArgs args{};
  args.rows = CheckInput(x, layer.config(), &dims);
  dims.back() = layer.config().outputs;
  Value* y = nullptr;
  Check(Ort<api::KernelContext_GetOutput>(context, size_t{0}, dims.data(), dims.size(), &y));
  if (y == nullptr || args.rows == 0) return;
  const void* x_data = nullptr;
  void* y_data = nullptr;
  Check(Ort<api::GetTensorData>(x, &x_data));
  Check(Ort<api::GetTensorMutableData>(y, &y_data));
  args.x = static_cast<const float*>(x_data);
  args.y = static_cast<float*>(y_data);
  args.weight_scale = weight_scale_.data();
  args.bias = bias_.data();
  MatMul(layer, deployed_->folded(), store_->kernels(), store_->workspaces(), ThreadsOf(context), args);
}

}  // namespace rcompile
