// CrossbarExecutionProvider: takes CrossbarMatMul nodes and holds the die and the combiner of its session.
#pragma once

#include <memory>
#include <string>

#include "ort/abi.h"
#include "ort/layer_store.h"

namespace rcompile {

constexpr char kProviderName[] = "CrossbarExecutionProvider";

class Provider : public ortabi::Ep {
 public:
  explicit Provider(const ortabi::SessionOptions* options);
  ~Provider();
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;

 private:
  void ClaimNodes(const ortabi::Graph* graph, ortabi::GraphSupportInfo* support) const;
  void SetOptions(const char* const* keys, const char* const* values, size_t count);
  void BuildRegistry();

  static Provider& From(ortabi::Ep* ep) { return *static_cast<Provider*>(ep); }
  static ortabi::Status* CreateKernel(void* provider, const ortabi::KernelInfo* info, ortabi::KernelImpl** kernel);

  std::shared_ptr<LayerStore> store_;
  ortabi::KernelRegistry* registry_ = nullptr;
};

// The report of the newest live provider with this token; false if there is none.
bool ReportByToken(const std::string& token, std::string* json);

}  // namespace rcompile
