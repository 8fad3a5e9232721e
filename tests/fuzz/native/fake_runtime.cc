#include "fake_runtime.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "ort/call.h"
#include "ort/provider.h"

namespace fuzz {
namespace {

using namespace ortabi;

constexpr size_t kSlots = 512;
using Table = std::array<void*, kSlots>;

struct Registered {
  KernelCreateFn create;
  void* state;
} registered;  // by the provider that was made last

template <class Function>
struct SlotOf;
template <class Signature, int kSlot>
struct SlotOf<Entry<Signature, kSlot>> {
  static constexpr int value = kSlot;
};

// A function of exactly the type that the entry is called with.
template <class Called, class Function>
void Put(Table* table, Function* function) {
  (*table)[SlotOf<Called>::value] = reinterpret_cast<void*>(function);
}

Status* Failed(const std::string& message) { return new Status{kFail, message}; }

// As ONNX Runtime gives strings out: without room only the size, which counts the terminating zero.
Status* CopyText(const std::string& text, char* to, size_t* size) {
  if (to != nullptr) std::memcpy(to, text.c_str(), std::min(*size, text.size() + 1));
  *size = text.size() + 1;
  return nullptr;
}

template <class T>
const T* AttributeOf(const KernelInfo* info, const char* name) {
  const auto found = info->attributes.find(name);
  return found == info->attributes.end() ? nullptr : std::get_if<T>(&found->second);
}

template <class T>
Status* GetAttribute(const KernelInfo* info, const char* name, T* value) {
  const T* found = AttributeOf<T>(info, name);
  if (found == nullptr) return Failed("no such attribute");
  *value = *found;
  return nullptr;
}

Status* GetText(const KernelInfo* info, const char* name, char* to, size_t* size) {
  const std::string* found = AttributeOf<std::string>(info, name);
  return found == nullptr ? Failed("no such attribute") : CopyText(*found, to, size);
}

Status* GetList(const KernelInfo* info, const char* name, int64_t* to, size_t* size) {
  const std::vector<int64_t>* found = AttributeOf<std::vector<int64_t>>(info, name);
  if (found == nullptr) return Failed("no such attribute");
  if (to != nullptr) std::copy(found->begin(), found->end(), to);
  *size = found->size();
  return nullptr;
}

Status* GetConstant(const KernelInfo* info, size_t input, int* is_constant, const Value** value) {
  const auto found = info->constants.find(input);
  *is_constant = found != info->constants.end();
  *value = *is_constant ? &found->second : nullptr;
  return nullptr;
}

void PutStatus(Table* table) {
  Put<api::CreateStatus>(table, +[](int code, const char* message) { return new Status{code, message}; });
  Put<api::GetErrorCode>(table, +[](const Status* status) { return status->code; });
  Put<api::GetErrorMessage>(table, +[](const Status* status) { return status->message.c_str(); });
  Put<api::ReleaseStatus>(table, +[](Status* status) { delete status; });
}

void PutNode(Table* table) {
  Put<api::KernelInfoGetAttribute_float>(table, &GetAttribute<float>);
  Put<api::KernelInfoGetAttribute_int64>(table, &GetAttribute<int64_t>);
  Put<api::KernelInfoGetAttribute_string>(table, &GetText);
  Put<api::KernelInfoGetAttributeArray_int64>(table, &GetList);
  Put<api::KernelInfoGetConstantInput>(table, &GetConstant);
  Put<api::GetTensorTypeAndShapeReference>(
      table, +[](const Value* value, int* type, const int64_t** dims, size_t* rank) -> Status* {
        *type = value->type, *dims = value->dims.data(), *rank = value->dims.size();
        return nullptr;
      });
  Put<api::GetTensorData>(
      table, +[](const Value* value, const void** data) -> Status* {
        *data = value->bytes.data() + value->shift;
        return nullptr;
      });
  Put<api::GetTensorMutableData>(
      table, +[](Value* value, void** data) -> Status* {
        *data = value->bytes.data();
        return nullptr;
      });
}

void PutRun(Table* table) {
  Put<api::KernelContext_GetInput>(
      table, +[](const KernelContext* context, size_t, const Value** value) -> Status* {
        *value = context->x;
        return nullptr;
      });
  Put<api::KernelContext_GetOutput>(
      table, +[](KernelContext* context, size_t, const int64_t* dims, size_t rank, Value** value) -> Status* {
        size_t size = sizeof(float);
        for (size_t i = 0; i < rank; ++i) size *= static_cast<size_t>(dims[i]);
        context->y = {kFloat32, std::vector<int64_t>(dims, dims + rank), std::vector<uint8_t>(size)};
        *value = &context->y;
        return nullptr;
      });
  Put<api::KernelContext_ParallelFor>(
      table, +[](const KernelContext*, ParallelFn task, size_t total, size_t, void* state) -> Status* {
        for (size_t i = 0; i < total; ++i) task(state, i);
        return nullptr;
      });
}

void PutOptions(Table* table) {
  Put<api::HasSessionConfigEntry>(
      table, +[](const SessionOptions* options, const char* key, int* has) -> Status* {
        *has = options->entries.count(key) > 0;
        return nullptr;
      });
  Put<api::GetSessionConfigEntry>(
      table, +[](const SessionOptions* options, const char* key, char* to, size_t* size) {
        return CopyText(options->entries.at(key), to, size);
      });
}

const Table& Registry() {
  static Table table{};
  Put<ep_api::CreateKernelRegistry>(&table, +[](KernelRegistry**) -> Status* { return nullptr; });
  Put<ep_api::ReleaseKernelRegistry>(&table, +[](KernelRegistry*) {});
  Put<ep_api::KernelRegistry_AddKernel>(
      &table, +[](KernelRegistry*, const KernelDef*, KernelCreateFn create, void* state) -> Status* {
        registered = {create, state};
        return nullptr;
      });
  Put<ep_api::CreateKernelDefBuilder>(&table, +[](KernelDefBuilder**) -> Status* { return nullptr; });
  const auto accept = +[](KernelDefBuilder*, const char*) -> Status* { return nullptr; };
  Put<ep_api::SetOperatorType>(&table, accept);
  Put<ep_api::SetDomain>(&table, accept);
  Put<ep_api::SetExecutionProvider>(&table, accept);
  Put<ep_api::SetSinceVersion>(&table, +[](KernelDefBuilder*, int, int) -> Status* { return nullptr; });
  Put<ep_api::BuildKernelDef>(&table, +[](KernelDefBuilder*, KernelDef**) -> Status* { return nullptr; });
  return table;
}

const Table& Api() {
  static Table table{};
  PutStatus(&table);
  PutNode(&table);
  PutRun(&table);
  PutOptions(&table);
  Put<api::GetEpApi>(&table, +[]() -> const void* { return Registry().data(); });
  return table;
}

bool Load() {
  const ApiBase base{[](uint32_t) -> const void* { return Api().data(); }, [] { return "none"; }};
  return rcompile::LoadTables(&base) == nullptr;
}

}  // namespace

std::string Refusal(Status* status) {
  if (status == nullptr) return "";
  const std::unique_ptr<Status> held(status);
  if (held->code != kInvalidArgument) {
    std::fprintf(stderr, "code %d: %s\n", held->code, held->message.c_str());
    Require(false, "a refusal is an Error");
  }
  Require(!held->message.empty(), "a refusal says why");
  return held->message;
}

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

Session::Session(const Options& options) {
  static const bool loaded = Load();
  Require(loaded, "the tables are loaded");
  SessionOptions given;
  for (const auto& [key, value] : options) given.entries["ep.crossbarexecutionprovider." + key] = value;
  refusal_ = Refusal(rcompile::Guard([&] { provider_ = new rcompile::Provider(&given); }));
}

Session::~Session() {
  for (KernelImpl* kernel : kernels_) kernel->Release(kernel);
  delete static_cast<rcompile::Provider*>(provider_);
}

std::string Session::Create(const KernelInfo& node) {
  KernelImpl* kernel = nullptr;
  registered.state = provider_;
  const std::string refusal = Refusal(registered.create(registered.state, &node, &kernel));
  if (refusal.empty()) kernels_.push_back(kernel);
  return refusal;
}

std::string Session::Change(const Options& options) {
  std::vector<const char*> keys, values;
  for (const auto& [key, value] : options) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  return Refusal(provider_->SetDynamicOptions(provider_, keys.data(), values.data(), keys.size()));
}

std::string Session::Compute(const Value& x, Value* y) {
  KernelContext context{&x, {}};
  Require(provider_->OnRunStart(provider_, nullptr) == nullptr, "a run starts");
  const std::string refusal = Refusal(kernels_.back()->Compute(kernels_.back(), &context));
  Require(provider_->OnRunEnd(provider_, nullptr, true) == nullptr, "a run ends");
  *y = std::move(context.y);
  return refusal;
}

}  // namespace fuzz
