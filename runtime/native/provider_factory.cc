// The entry points of the shared object: the provider factory, the operator's schema, and the report.
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "kernel.h"
#include "ort_call.h"
#include "provider.h"

#if defined(_WIN32)
#define RCOMPILE_EXPORT extern "C" __declspec(dllexport)
#else
#define RCOMPILE_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace rcompile {
namespace {

using namespace ortabi;

// ---- The operator: its schema, and a kernel for the CPU provider that computes the clean die. ----

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

// The provider's own domain brings the schema alone: when a session with wrong options falls back to the CPU
// provider, computing a clean die there would hide the mistake.
Status* RefuseCpuKernel(const CustomOp*, const void*, const KernelInfo*, void**) {
  return Guard([] {
    throw Error("CrossbarMatMul is not on CrossbarExecutionProvider; for a clean die on the CPU provider register this "
                "library's custom ops instead");
  });
}

Status* CreateCpuKernel(const CustomOp*, const void*, const KernelInfo* info, void** kernel) {
  return Guard([&] { *kernel = new CrossbarMatMul(info, CpuStore()); });
}

CustomOp MakeOp(bool has_cpu_kernel) {
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
  op.CreateKernelV2 = has_cpu_kernel ? CreateCpuKernel : RefuseCpuKernel;
  op.KernelComputeV2 = [](void* kernel, KernelContext* context) -> Status* {
    return Guard([&] { static_cast<const CrossbarMatMul*>(kernel)->Compute(context); });
  };
  op.KernelDestroy = [](void* kernel) { delete static_cast<CrossbarMatMul*>(kernel); };
  op.InferOutputShape = [](const CustomOp*, ShapeInferContext* context) -> Status* {
    return Guard([&] { InferShape(context); });
  };
  return op;
}

CustomOpDomain* CreateDomain(bool has_cpu_kernel) {
  static const CustomOp schema_only = MakeOp(false);
  static const CustomOp with_kernel = MakeOp(true);
  const CustomOp& op = has_cpu_kernel ? with_kernel : schema_only;
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

// ---- Factory ----

class ProviderFactory : public EpFactory {
 public:
  ProviderFactory();
  ~ProviderFactory() { Ort<api::ReleaseCustomOpDomain>(domain_); }
  ProviderFactory(const ProviderFactory&) = delete;
  ProviderFactory& operator=(const ProviderFactory&) = delete;

 private:
  void SetProviderCalls();
  void SetUnusedCalls();

  CustomOpDomain* domain_;
};

// One device: a second would make ONNX Runtime ask for a second provider in the same session.
void OfferDevice(EpFactory* factory, const HardwareDevice* const* devices, size_t count, EpDevice** offered,
                 size_t capacity, size_t* filled) {
  *filled = 0;
  for (size_t i = 0; i < count && capacity > 0; ++i) {
    if (Ort<api::HardwareDevice_Type>(devices[i]) != kCpu) continue;
    Check(OrtEp<ep_api::CreateEpDevice>(factory, devices[i], nullptr, nullptr, offered));
    *filled = 1;
    return;
  }
}

ProviderFactory::ProviderFactory() : EpFactory{}, domain_(CreateDomain(false)) {
  version = kApiVersion;
  GetName = [](const EpFactory*) { return kProviderName; };
  GetVendor = [](const EpFactory*) { return "rcompile"; };
  GetVendorId = [](const EpFactory*) -> uint32_t { return 0x5243; };
  GetVersion = [](const EpFactory*) { return "1.0.0"; };
  GetNumCustomOpDomains = [](EpFactory*, size_t* count) -> Status* {
    *count = 1;
    return nullptr;
  };
  GetCustomOpDomains = [](EpFactory* self, CustomOpDomain** domains, size_t capacity) -> Status* {
    if (capacity > 0) domains[0] = static_cast<ProviderFactory*>(self)->domain_;
    return nullptr;
  };
  SetProviderCalls();
  SetUnusedCalls();
}

void ProviderFactory::SetProviderCalls() {
  GetSupportedDevices = [](EpFactory* self, const HardwareDevice* const* devices, size_t count, EpDevice** offered,
                           size_t capacity, size_t* filled) -> Status* {
    return Guard([&] { OfferDevice(self, devices, count, offered, capacity, filled); });
  };
  CreateEp = [](EpFactory*, const HardwareDevice* const*, const void* const*, size_t, const SessionOptions* options,
                const Logger*, Ep** ep) -> Status* {
    *ep = nullptr;
    return Guard([&] { *ep = new Provider(options); });
  };
  ReleaseEp = [](EpFactory*, Ep* ep) { delete static_cast<Provider*>(ep); };
}

// ONNX Runtime calls these without asking whether they are there; the provider uses plain CPU memory.
void ProviderFactory::SetUnusedCalls() {
  CreateAllocator = [](EpFactory*, const void*, const void*, void** allocator) -> Status* {
    *allocator = nullptr;
    return nullptr;
  };
  ReleaseAllocator = [](EpFactory*, void*) {};
  CreateDataTransfer = [](EpFactory*, void** transfer) -> Status* {
    *transfer = nullptr;
    return nullptr;
  };
  IsStreamAware = [](const EpFactory*) { return false; };
}

}  // namespace
}  // namespace rcompile

RCOMPILE_EXPORT ortabi::Status* CreateEpFactories(const char*, const ortabi::ApiBase* base, const ortabi::Logger*,
                                                  ortabi::EpFactory** factories, size_t capacity, size_t* count) {
  if (ortabi::Status* status = rcompile::LoadTables(base)) return status;
  return rcompile::Guard([&] {
    *count = 0;
    if (capacity == 0) throw rcompile::Error("there is no room for the provider factory");
    factories[0] = new rcompile::ProviderFactory();
    *count = 1;
  });
}

RCOMPILE_EXPORT ortabi::Status* ReleaseEpFactory(ortabi::EpFactory* factory) {
  delete static_cast<rcompile::ProviderFactory*>(factory);
  return nullptr;
}

RCOMPILE_EXPORT ortabi::Status* RegisterCustomOps(ortabi::SessionOptions* options, const ortabi::ApiBase* base) {
  if (ortabi::Status* status = rcompile::LoadTables(base)) return status;
  return rcompile::Guard([&] {
    static ortabi::CustomOpDomain* const domain = rcompile::CreateDomain(true);
    rcompile::Check(rcompile::Ort<ortabi::api::AddCustomOpDomain>(options, domain));
  });
}

// JSON about the layers of the live provider that was given this token, or null.  Valid until the same thread calls
// again.
RCOMPILE_EXPORT const char* RcompileReport(const char* token) {
  thread_local std::string json;
  try {
    return token != nullptr && rcompile::ReportByToken(token, &json) ? json.c_str() : nullptr;
  } catch (...) {
    return nullptr;
  }
}
