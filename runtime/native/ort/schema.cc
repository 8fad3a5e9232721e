#include "ort/schema.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "ort/call.h"
#include "ort/operator.h"

namespace rcompile {
namespace {

using namespace ortabi;

std::shared_ptr<LayerStore> CpuStore() {
  static const std::shared_ptr<LayerStore> store = [] {
    StoreOptions options;
    options.fold.kernels = &SelectKernels("auto");
    return std::make_shared<LayerStore>(std::move(options));
  }();
  return store;
}

std::string FreshDimensionName() {
  static std::atomic<uint64_t> count{0};
  return "CrossbarMatMul_dim_" + std::to_string(++count);
}

// y has the shape of x but for the last dimension.
void InferShape(ShapeInferContext* context) {
  TensorInfo* input = nullptr;  // borrowed
  Check(Ort<api::ShapeInfer_GetInputInfo>(context, size_t{0}, &input));
  size_t rank = 0;
  if (input != nullptr) Check(Ort<api::GetDimensionsCount>(input, &rank));
  if (rank == 0) return;  // unknown
  std::vector<int64_t> dims(rank);
  std::vector<const char*> symbols(rank);
  Check(Ort<api::GetDimensions>(input, dims.data(), rank));
  Check(Ort<api::GetSymbolicDimensions>(input, symbols.data(), rank));
  // ONNX Runtime takes an unknown dimension without a name for the number -1, and a later Reshape chokes on two of
  // them.
  std::vector<std::string> names(rank);
  for (size_t i = 0; i + 1 < rank; ++i) {
    if (dims[i] >= 0 || (symbols[i] != nullptr && *symbols[i] != 0)) continue;
    names[i] = FreshDimensionName();
    symbols[i] = names[i].c_str();
  }
  const OpAttr* attribute = nullptr;
  int64_t outputs = 0;
  size_t size = 0;
  Check(Ort<api::ShapeInfer_GetAttribute>(context, kOutputsAttribute, &attribute));
  Check(Ort<api::ReadOpAttr>(attribute, kAttrInt, &outputs, sizeof outputs, &size));
  dims.back() = outputs;
  symbols.back() = "";

  TensorInfo* created = nullptr;
  Check(Ort<api::CreateTensorInfo>(&created));
  const auto release = [](TensorInfo* info) { Ort<api::ReleaseTensorInfo>(info); };
  const std::unique_ptr<TensorInfo, decltype(release)> output(created, release);
  Check(Ort<api::SetElementType>(created, int{kFloat32}));
  Check(Ort<api::SetDimensions>(created, dims.data(), rank));
  Check(Ort<api::SetSymbolicDimensions>(created, symbols.data(), rank));
  Check(Ort<api::ShapeInfer_SetOutputInfo>(context, size_t{0}, created));
}

Status* RefuseCpuKernel(const CustomOp*, const void*, const KernelInfo*, void**) {
  return Guard([] {
    throw Error(
        "CrossbarMatMul is not on CrossbarExecutionProvider; for a clean die on the CPU provider register this "
        "library's custom ops instead");
  });
}

Status* CreateCpuKernel(const CustomOp*, const void*, const KernelInfo* info, void** kernel) {
  return Guard([&] { *kernel = new CrossbarMatMul(info, CpuStore()); });
}

CustomOp MakeOp(decltype(CustomOp::CreateKernelV2) create_kernel) {
  CustomOp op{};
  op.version = kApiVersion;
  op.GetName = [](const CustomOp*) { return kOpType; };
  op.GetExecutionProviderType = [](const CustomOp*) -> const char* { return nullptr; };  // the CPU provider
  op.GetInputType = [](const CustomOp*, size_t i) { return int{kOpInputs[i].type}; };
  op.GetInputTypeCount = [](const CustomOp*) { return kOpInputCount; };
  op.GetOutputType = [](const CustomOp*, size_t) { return int{kFloat32}; };
  op.GetOutputTypeCount = [](const CustomOp*) { return size_t{1}; };
  op.GetInputCharacteristic = [](const CustomOp*, size_t) { return 0; };  // required
  op.GetOutputCharacteristic = [](const CustomOp*, size_t) { return 0; };
  op.GetInputMemoryType = [](const CustomOp*, size_t) { return 0; };
  op.GetStartVersion = [](const CustomOp*) { return 1; };
  op.GetEndVersion = [](const CustomOp*) { return 1; };
  op.CreateKernelV2 = create_kernel;
  op.KernelComputeV2 = [](void* kernel, KernelContext* context) -> Status* {
    return Guard([&] { static_cast<const CrossbarMatMul*>(kernel)->Compute(context); });
  };
  op.KernelDestroy = [](void* kernel) { delete static_cast<CrossbarMatMul*>(kernel); };
  op.InferOutputShape = [](const CustomOp*, ShapeInferContext* context) -> Status* {
    return Guard([&] { InferShape(context); });
  };
  return op;
}

}  // namespace

ortabi::CustomOpDomain* CreateDomain(CpuKernel cpu_kernel) {
  static const CustomOp schema_only = MakeOp(RefuseCpuKernel);
  static const CustomOp with_kernel = MakeOp(CreateCpuKernel);
  const CustomOp& op = cpu_kernel == CpuKernel::kCleanDie ? with_kernel : schema_only;
  CustomOpDomain* domain = nullptr;
  Check(Ort<api::CreateCustomOpDomain>(kDomain, &domain));
  try {
    Check(Ort<api::CustomOpDomain_Add>(domain, &op));
  } catch (...) {
    Ort<api::ReleaseCustomOpDomain>(domain);
    throw;
  }
  return domain;
}

}  // namespace rcompile
