// The entry points of the shared object: the provider factory, the custom operator and the report.
#include <string>

#include "ort/call.h"
#include "ort/provider.h"
#include "ort/schema.h"

#if defined(_WIN32)
#define RCOMPILE_EXPORT extern "C" __declspec(dllexport)
#else
#define RCOMPILE_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace rcompile {
namespace {

using namespace ortabi;

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

ProviderFactory::ProviderFactory() : EpFactory{}, domain_(CreateDomain(CpuKernel::kRefused)) {
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
    static ortabi::CustomOpDomain* const domain = rcompile::CreateDomain(rcompile::CpuKernel::kCleanDie);
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
