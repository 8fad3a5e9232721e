// The operator CrossbarMatMul: what ONNX Runtime calls for one node.
#pragma once

#include <memory>
#include <vector>

#include "ort/abi.h"
#include "ort/layer_store.h"

namespace rcompile {

constexpr char kDomain[] = "ai.rcompile";
constexpr char kOpType[] = "CrossbarMatMul";
constexpr char kOutputsAttribute[] = "outputs";

struct OpInput {
  const char* name;
  ortabi::ElementType type;
};
// In order; all but the first are constants.
constexpr OpInput kOpInputs[] = {
    {"x", ortabi::kFloat32},
    {"levels", ortabi::kUint8},
    {"crossbar", ortabi::kInt32},
    {"wordline_input", ortabi::kInt32},
    {"bitline_output", ortabi::kInt32},
    {"bitline_digit", ortabi::kUint8},
    {"bitline_replica", ortabi::kUint8},
    {"bitline_inverted", ortabi::kUint8},
    {"weight_scale", ortabi::kFloat32},
    {"bias", ortabi::kFloat32},
};
constexpr size_t kOpInputCount = sizeof kOpInputs / sizeof kOpInputs[0];

class CrossbarMatMul {
 public:
  // Throws Error, naming the layer, if the node is not valid.
  CrossbarMatMul(const ortabi::KernelInfo* info, std::shared_ptr<LayerStore> store);

  void Compute(ortabi::KernelContext* context) const;

 private:
  std::shared_ptr<LayerStore> store_;
  std::shared_ptr<DeployedLayer> deployed_;
  std::vector<float> weight_scale_;
  std::vector<float> bias_;
};

}  // namespace rcompile
