// The product of one layer: quantize the rows of x, multiply, add the bit-serial part, scale.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/parallel.h"
#include "product/fold.h"

namespace rcompile {

// Memory that one product needs; only grows.
struct Workspace {
  AlignedBytes codes;  // [row][code_stride]
  std::vector<QuantizedRow> rows;
  std::array<ReadStorage, 3> reads;  // as Product::inputs_
};

// Workspaces of concurrent runs.
class WorkspacePool {
 public:
  class Lease {
   public:
    explicit Lease(WorkspacePool* pool) : pool_(pool), workspace_(pool->Take()) {}
    ~Lease() { pool_->Return(std::move(workspace_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Workspace* operator->() const { return workspace_.get(); }

   private:
    WorkspacePool* pool_;
    std::unique_ptr<Workspace> workspace_;
  };

 private:
  std::unique_ptr<Workspace> Take();
  void Return(std::unique_ptr<Workspace> workspace) noexcept;

  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> idle_;
};

struct MatMulArgs {
  const float* x;  // [rows][inputs]
  int64_t rows;
  const float* weight_scale;
  const float* bias;
  float* y;  // [rows][outputs]
};

void MatMul(const Layer& layer, const FoldedLayer& folded, const KernelTable& kernels, WorkspacePool* workspaces,
            const ThreadPool& threads, const MatMulArgs& args);

}  // namespace rcompile
