#include "ort/provider.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/text.h"
#include "ort/call.h"
#include "ort/operator.h"

namespace rcompile {
namespace {

using namespace ortabi;

constexpr char kDieKey[] = "rcompile.die";
constexpr char kCombinerKey[] = "rcompile.combiner";
constexpr std::string_view kFaultMapPrefix = "rcompile.fault_map.";
constexpr std::string_view kOwnPrefix = "rcompile.";
constexpr int kMaxThreads = 1024;

// Providers that have a token, oldest first.
struct TokenTable {
  std::mutex mutex;
  std::vector<std::pair<std::string, std::weak_ptr<LayerStore>>> entries;
};
TokenTable& Tokens() {
  static TokenTable table;
  return table;
}

void RememberToken(const std::string& token, const std::shared_ptr<LayerStore>& store) {
  TokenTable& table = Tokens();
  const std::lock_guard<std::mutex> lock(table.mutex);
  const auto gone = [](const auto& entry) { return entry.second.expired(); };
  table.entries.erase(std::remove_if(table.entries.begin(), table.entries.end(), gone), table.entries.end());
  if (!token.empty()) table.entries.emplace_back(token, store);
}

std::string SessionOption(const SessionOptions* options, const char* key, const char* fallback) {
  const std::string entry = std::string("ep.crossbarexecutionprovider.") + key;
  int has = 0;
  Check(Ort<api::HasSessionConfigEntry>(options, entry.c_str(), &has));
  if (!has) return fallback;
  size_t size = 0;  // with the terminating zero
  Check(Ort<api::GetSessionConfigEntry>(options, entry.c_str(), nullptr, &size));
  std::string value(size, '\0');
  Check(Ort<api::GetSessionConfigEntry>(options, entry.c_str(), value.data(), &size));
  if (!value.empty()) value.pop_back();
  return value;
}

int ThreadCount(const std::string& text) {
  if (text.empty()) return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const uint64_t threads = ParseUnsigned(text, "threads");
  if (threads < 1 || threads > kMaxThreads) throw Error("threads '" + text + "' is not in 1 .. 1024");
  return static_cast<int>(threads);
}

// Empty or `compiled`: as each node's attributes say.
Combiner ParseCombinerOption(const std::string& text) {
  return text.empty() || text == "compiled" ? Combiner::kAsCompiled : ParseCombiner(text, "combiner");
}

StoreOptions ReadOptions(const SessionOptions* options) {
  StoreOptions store;
  store.fold.kernels = &SelectKernels(SessionOption(options, "isa", "auto").c_str());
  store.fold.force_bit_serial = SessionOption(options, "force_bit_serial", "0") == "1";
  store.threads = ThreadCount(SessionOption(options, "threads", ""));
  store.die = ParseDie(SessionOption(options, "die", "clean"));
  if (store.die.mapped) {
    throw Error("die 'map' needs fault maps, which only set_ep_dynamic_options can give");
  }
  store.combiner = ParseCombinerOption(SessionOption(options, "combiner", ""));
  return store;
}

struct OperatorKernel : KernelImpl {
  OperatorKernel(const KernelInfo* info, std::shared_ptr<LayerStore> store)
      : KernelImpl{}, matmul(info, std::move(store)) {
    version = kApiVersion;
    Compute = [](KernelImpl* self, KernelContext* context) -> Status* {
      return Guard([&] { static_cast<OperatorKernel*>(self)->matmul.Compute(context); });
    };
    Release = [](KernelImpl* self) { delete static_cast<OperatorKernel*>(self); };
  }
  CrossbarMatMul matmul;
};

}  // namespace

Provider::Provider(const SessionOptions* options) : Ep{} {
  version = kApiVersion;
  GetName = [](const Ep*) { return kProviderName; };
  GetCapability = [](Ep* self, const Graph* graph, GraphSupportInfo* support) -> Status* {
    return Guard([&] { From(self).ClaimNodes(graph, support); });
  };
  SetDynamicOptions = [](Ep* self, const char* const* keys, const char* const* values, size_t count) -> Status* {
    return Guard([&] { From(self).SetOptions(keys, values, count); });
  };
  OnRunStart = [](Ep* self, const RunOptions*) -> Status* {
    return Guard([&] { From(self).store_->gate()->Enter(); });
  };
  OnRunEnd = [](Ep* self, const RunOptions*, bool) -> Status* {
    return Guard([&] { From(self).store_->gate()->Leave(); });
  };
  GetKernelRegistry = [](Ep* self, const KernelRegistry** registry) -> Status* {
    *registry = From(self).registry_;
    return nullptr;
  };
  IsConcurrentRunSupported = [](Ep*, bool* supported) -> Status* {
    *supported = true;
    return nullptr;
  };
  store_ = std::make_shared<LayerStore>(ReadOptions(options));
  RememberToken(SessionOption(options, "token", ""), store_);
  BuildRegistry();
}

Provider::~Provider() {
  if (registry_ != nullptr) OrtEp<ep_api::ReleaseKernelRegistry>(registry_);
}

void Provider::ClaimNodes(const Graph* graph, GraphSupportInfo* support) const {
  size_t count = 0;
  Check(Ort<api::Graph_GetNumNodes>(graph, &count));
  std::vector<const Node*> nodes(count);
  Check(Ort<api::Graph_GetNodes>(graph, nodes.data(), count));
  for (const Node* node : nodes) {
    const char* domain = nullptr;
    const char* type = nullptr;
    Check(Ort<api::Node_GetDomain>(node, &domain));
    Check(Ort<api::Node_GetOperatorType>(node, &type));
    if (domain == nullptr || type == nullptr) continue;
    if (std::strcmp(domain, kDomain) == 0 && std::strcmp(type, kOpType) == 0) {
      Check(OrtEp<ep_api::AddSingleNode>(support, node));
    }
  }
}

// Other providers' options arrive here too and are none of our business; under our own prefix every key must be known.
void Provider::SetOptions(const char* const* keys, const char* const* values, size_t count) {
  std::optional<Die> die;
  std::optional<Combiner> combiner;
  std::vector<std::pair<std::string, std::string_view>> maps;
  for (size_t i = 0; i < count; ++i) {
    if (keys[i] == nullptr || values[i] == nullptr) throw Error("a dynamic option has no key or no value");
    const std::string_view key = keys[i];
    if (key == kDieKey) {
      die = ParseDie(values[i]);
    } else if (key == kCombinerKey) {
      combiner = ParseCombinerOption(values[i]);
    } else if (key.starts_with(kFaultMapPrefix)) {
      maps.emplace_back(key.substr(kFaultMapPrefix.size()), values[i]);
    } else if (key.starts_with(kOwnPrefix)) {
      throw Error("dynamic option '" + std::string(key) + "' is unknown");
    }
  }
  if (!maps.empty() && !(die && die->mapped)) throw Error("fault maps need 'map' in rcompile.die");
  for (const auto& [layer, base64] : maps) die->maps[layer] = store_->ReadFaultMap(layer, base64);
  store_->Change(std::move(die), combiner);
}

Status* Provider::CreateKernel(void* provider, const KernelInfo* info, KernelImpl** kernel) {
  return Guard([&] { *kernel = new OperatorKernel(info, static_cast<Provider*>(provider)->store_); });
}

void Provider::BuildRegistry() {
  struct Builder {
    KernelDefBuilder* builder = nullptr;
    KernelDef* def = nullptr;
    ~Builder() {
      if (def != nullptr) OrtEp<ep_api::ReleaseKernelDef>(def);
      if (builder != nullptr) OrtEp<ep_api::ReleaseKernelDefBuilder>(builder);
    }
  } build;
  Check(OrtEp<ep_api::CreateKernelRegistry>(&registry_));
  try {
    Check(OrtEp<ep_api::CreateKernelDefBuilder>(&build.builder));
    Check(OrtEp<ep_api::SetOperatorType>(build.builder, kOpType));
    Check(OrtEp<ep_api::SetDomain>(build.builder, kDomain));
    Check(OrtEp<ep_api::SetSinceVersion>(build.builder, 1, 1));
    Check(OrtEp<ep_api::SetExecutionProvider>(build.builder, kProviderName));
    Check(OrtEp<ep_api::BuildKernelDef>(build.builder, &build.def));
    Check(OrtEp<ep_api::KernelRegistry_AddKernel>(registry_, build.def, &Provider::CreateKernel, this));
  } catch (...) {
    OrtEp<ep_api::ReleaseKernelRegistry>(registry_);
    throw;
  }
}

bool ReportByToken(const std::string& token, std::string* json) {
  std::shared_ptr<LayerStore> store;
  {
    TokenTable& table = Tokens();
    const std::lock_guard<std::mutex> lock(table.mutex);
    for (const auto& [name, entry] : table.entries) {
      if (name != token) continue;
      if (auto live = entry.lock()) store = std::move(live);
    }
  }
  if (store == nullptr) return false;
  *json = store->Report();
  return true;
}

}  // namespace rcompile
