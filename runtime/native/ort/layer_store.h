// The layers of one session, the die that they run on and the combiner of their replicas.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/run_gate.h"
#include "product/fold.h"
#include "product/matmul.h"

namespace rcompile {

// A layer with the weights of the present die and combiner, which change between runs only.
class DeployedLayer {
 public:
  DeployedLayer(LayerConfig config, const LayerArrays& arrays) : source_(arrays), layer_(std::move(config), arrays) {}

  // Whether a node with these attributes and arrays is this layer.
  bool IsOf(const LayerConfig& config, const LayerArrays& arrays) const {
    return source_ == arrays && layer_.config() == config;
  }
  const Layer& layer() const { return layer_; }
  const FoldedLayer& folded() const { return *folded_; }
  void set_folded(std::shared_ptr<const FoldedLayer> folded) { folded_ = std::move(folded); }

 private:
  const LayerArrays source_;  // where the arrays lay; told apart by that, never read again
  const Layer layer_;
  std::shared_ptr<const FoldedLayer> folded_;
};

struct StoreOptions {
  FoldOptions fold;
  int threads = 1;  // for folding
  Die die;
  Combiner combiner = Combiner::kAsCompiled;
};

class LayerStore {
 public:
  explicit LayerStore(StoreOptions options) : options_(std::move(options)) {}

  // The layer with these attributes and arrays, folded; nodes with tied weights share one.
  std::shared_ptr<DeployedLayer> Deploy(LayerConfig config, const LayerArrays& arrays);
  // Folds all layers that another die or combiner changes, then swaps all of them while no run is under way.  What is
  // not given stays; on an exception everything does.
  void Change(std::optional<Die> die, std::optional<Combiner> combiner);
  // The fault map of the layers with this name; throws Error if there is none, if they differ or if it does not fit.
  FaultMap ReadFaultMap(const std::string& layer_name, std::string_view base64);
  // JSON, one object a layer.
  std::string Report();

  // Every run passes it.
  RunGate* gate() { return &gate_; }
  const KernelTable& kernels() const { return *options_.fold.kernels; }
  WorkspacePool* workspaces() { return &workspaces_; }

 private:
  std::vector<std::shared_ptr<DeployedLayer>> LiveLayers();

  std::mutex mutex_;  // guards the layers, the die and the combiner
  StoreOptions options_;
  std::vector<std::weak_ptr<DeployedLayer>> layers_;
  WorkspacePool workspaces_;
  RunGate gate_;
};

}  // namespace rcompile
