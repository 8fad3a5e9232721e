#include "ort/layer_store.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>

#include "base/error.h"
#include "die/faults.h"

namespace rcompile {
namespace {

// Runs work(i) for i < count on up to `threads` threads; rethrows the first exception.
template <class Work>
void RunOnThreads(int threads, size_t count, const Work& work) {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto loop = [&] {
    for (size_t i; (i = next.fetch_add(1)) < count;) {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(mutex);
        if (!failure) failure = std::current_exception();
        next = count;
      }
    }
  };
  std::vector<std::thread> helpers;
  const size_t wanted = std::min<size_t>(std::max(threads, 1), count);
  helpers.reserve(wanted);
  try {
    while (helpers.size() + 1 < wanted) helpers.emplace_back(loop);
  } catch (const std::system_error&) {
    // No more threads to be had: go on with those there are.
  }
  loop();
  for (std::thread& helper : helpers) helper.join();
  if (failure) std::rethrow_exception(failure);
}

Combiner CombinerOf(const Layer& layer, Combiner chosen) {
  return chosen == Combiner::kAsCompiled ? layer.config().combiner : chosen;
}

std::string JsonString(const std::string& text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      json += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      json += escape;
    } else {
      json += c;
    }
  }
  return json + '"';
}

std::string JsonReport(const DeployedLayer& deployed) {
  const Layer& layer = deployed.layer();
  const FoldedLayer& folded = deployed.folded();
  const int64_t tiles = layer.arrays().tiles;
  const std::pair<const char*, int64_t> numbers[] = {
      {"tiles", tiles},
      {"bitlines", layer.vote_groups()},
      {"collapsed", folded.collapsed},
      {"cells", tiles * layer.arrays().cells_per_tile()},
      {"sa0", folded.faults.sa0},
      {"sa1", folded.faults.sa1},
      {"between", folded.faults.between},
  };
  std::string json = "{\"layer\": " + JsonString(layer.config().name);
  for (const auto& [name, value] : numbers) json += ", \"" + std::string(name) + "\": " + std::to_string(value);
  return json + "}";
}

}  // namespace

std::vector<std::shared_ptr<DeployedLayer>> LayerStore::LiveLayers() {
  std::vector<std::shared_ptr<DeployedLayer>> live;
  for (const auto& weak : layers_) {
    if (auto layer = weak.lock()) live.push_back(std::move(layer));
  }
  return live;
}

std::shared_ptr<DeployedLayer> LayerStore::Deploy(LayerConfig config, const LayerArrays& arrays) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& live : LiveLayers()) {
    if (live->IsOf(config, arrays)) return live;
  }
  auto deployed = std::make_shared<DeployedLayer>(std::move(config), arrays);
  const Layer& layer = deployed->layer();
  for (const auto& live : LiveLayers()) layer.CheckApart(live->layer());
  deployed->set_folded(FoldLayer(layer, options_.die, CombinerOf(layer, options_.combiner), options_.fold));
  const auto expired = [](const std::weak_ptr<DeployedLayer>& weak) { return weak.expired(); };
  layers_.erase(std::remove_if(layers_.begin(), layers_.end(), expired), layers_.end());
  layers_.push_back(deployed);
  return deployed;
}

void LayerStore::Change(std::optional<Die> die, std::optional<Combiner> combiner) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool same_die = !die || *die == options_.die;
  const Die& next_die = same_die ? options_.die : *die;
  const Combiner next = combiner.value_or(options_.combiner);
  auto layers = LiveLayers();
  const auto unaffected = [&](const std::shared_ptr<DeployedLayer>& deployed) {
    const Layer& layer = deployed->layer();
    return same_die && (!layer.has_votes() || CombinerOf(layer, next) == CombinerOf(layer, options_.combiner));
  };
  layers.erase(std::remove_if(layers.begin(), layers.end(), unaffected), layers.end());
  // The largest first, so that no thread is left with a large one at the end.
  std::stable_sort(layers.begin(), layers.end(), [](const auto& a, const auto& b) {
    const LayerArrays &left = a->layer().arrays(), &right = b->layer().arrays();
    return left.tiles * left.cells_per_tile() > right.tiles * right.cells_per_tile();
  });
  std::vector<std::shared_ptr<const FoldedLayer>> folded(layers.size());
  RunOnThreads(options_.threads, layers.size(), [&](size_t i) {
    const Layer& layer = layers[i]->layer();
    folded[i] = FoldLayer(layer, next_die, CombinerOf(layer, next), options_.fold);
  });
  gate_.WhileEmpty([&] {
    for (size_t i = 0; i < layers.size(); ++i) layers[i]->set_folded(std::move(folded[i]));
  });
  if (!same_die) options_.die = std::move(*die);
  options_.combiner = next;
}

FaultMap LayerStore::ReadFaultMap(const std::string& layer_name, std::string_view base64) {
  const std::lock_guard<std::mutex> lock(mutex_);
  using Shape = std::pair<int64_t, int>;  // cells and top level
  std::optional<Shape> shape;
  for (const auto& live : LiveLayers()) {
    const Layer& layer = live->layer();
    if (layer.config().name != layer_name) continue;
    const Shape found{layer.arrays().tiles * layer.arrays().cells_per_tile(), layer.config().top_level()};
    if (shape && *shape != found) throw Error("layers of different size share the name '" + layer_name + "'");
    shape = found;
  }
  if (!shape) throw Error("there is no layer '" + layer_name + "'");
  return ParseFaultMap(base64, shape->first, shape->second, layer_name);
}

std::string LayerStore::Report() {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::string json = "[";
  for (const auto& live : LiveLayers()) {
    if (json.size() > 1) json += ", ";
    json += JsonReport(*live);
  }
  return json + "]";
}

}  // namespace rcompile
