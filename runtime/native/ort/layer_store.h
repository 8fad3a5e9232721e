// The layers of one session, the die that they run on and the combiner of their replicas.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "product/fold.h"
#include "product/matmul.h"

namespace rcompile {

// A layer with the weights of the present die and combiner.  A run keeps the weights that it started with, so that they
// can change at any time.
class DeployedLayer {
 public:
  DeployedLayer(LayerConfig config, const LayerArrays& arrays) : layer_(std::move(config), arrays) {}

  const Layer& layer() const { return layer_; }
  std::shared_ptr<const FoldedLayer> folded() const { return folded_; }
  void set_folded(std::shared_ptr<const FoldedLayer> folded) { folded_ = std::move(folded); }

 private:
  const Layer layer_;
  std::atomic<std::shared_ptr<const FoldedLayer>> folded_;
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
  // Folds all layers that another die or combiner changes, then swaps all of them.  What is not given stays; on an
  // exception everything does.
  void Change(std::optional<Die> die, std::optional<Combiner> combiner);
  // The fault map of the layers with this name; throws Error if there is none, if they differ or if it does not fit.
  FaultMap ReadFaultMap(const std::string& layer_name, std::string_view base64);
  // JSON, one object a layer.
  std::string Report();

  const KernelTable& kernels() const { return *options_.fold.kernels; }
  WorkspacePool* workspaces() { return &workspaces_; }

 private:
  std::vector<std::shared_ptr<DeployedLayer>> LiveLayers();

  std::mutex mutex_;  // guards the layers, the die and the combiner
  StoreOptions options_;
  std::vector<std::weak_ptr<DeployedLayer>> layers_;
  WorkspacePool workspaces_;
};

}  // namespace rcompile
