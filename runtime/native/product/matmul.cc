#include "product/matmul.h"

#include <algorithm>

namespace rcompile {
namespace {

// Rows of x and y that stay in the second level cache while the weight panels pass by.
constexpr int64_t kMaxTaskRows = 48;
// Fewer tasks than this leave threads idle.
constexpr int64_t kMinTasks = 8;
// Below these amounts of work, waking other threads costs more than it saves.
constexpr int64_t kSmallQuantization = 1 << 14;
constexpr int64_t kSmallProduct = 1 << 20;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Calls task(i) for all i < total; `task` must not throw.
template <class Task>
void ForAll(const ThreadPool& threads, bool parallel, int64_t total, Task& task) {
  if (parallel && total > 1) return threads.For(static_cast<size_t>(total), task);
  for (int64_t i = 0; i < total; ++i) task(i);
}

class Product {
 public:
  Product(const Layer& layer, const FoldedLayer& folded, const KernelTable& kernels, const MatMulArgs& args,
          Workspace* workspace);
  void Run(const ThreadPool& threads);

 private:
  void ReserveWorkspace();
  void QuantizeRow(int64_t row) noexcept;
  void MultiplyBlock(int64_t panel, int64_t first_row, int64_t rows) noexcept;
  void MultiplyGroup(int64_t panel, int64_t first_row, int rows, const int64_t* read_codes,
                     const int64_t* read_digital) noexcept;
  int64_t TaskRows() const;

  const LayerConfig& config_;
  const FoldedLayer& folded_;
  const KernelTable& kernels_;
  const MatMulArgs& args_;
  Workspace& workspace_;
  const int64_t code_stride_;
  const RowQuantization quantization_;
  const bool has_reads_;
  std::array<ReadInputs, 3> inputs_;  // of the folded layer's single, voted and analog part
  const WholeReads single_;
  const WholeReads voted_;
  const AnalogReads analog_;
};

Product::Product(const Layer& layer, const FoldedLayer& folded, const KernelTable& kernels, const MatMulArgs& args,
                 Workspace* workspace)
    : config_(layer.config()),
      folded_(folded),
      kernels_(kernels),
      args_(args),
      workspace_(*workspace),
      code_stride_(CeilDiv(config_.inputs, 64) * 64),
      quantization_{config_.inputs, static_cast<float>(config_.input_max()), config_.input_scale},
      has_reads_(!folded.single.plan.empty() || !folded.voted.plan.empty() || !folded.analog.plan.empty()),
      inputs_{ReadInputs(config_, folded.single.mode, folded.single.plan),
              ReadInputs(config_, folded.voted.mode, folded.voted.plan),
              ReadInputs(config_, folded.analog.mode, folded.analog.plan)},
      single_(folded.single.mode, folded.single.plan, inputs_[0], kernels),
      voted_(folded.voted.mode, folded.voted.plan, inputs_[1], kernels),
      analog_(layer, folded.analog.mode, folded.analog.plan, inputs_[2], kernels) {}

void Product::ReserveWorkspace() {
  workspace_.codes.Reserve(static_cast<size_t>(args_.rows * code_stride_));
  if (static_cast<int64_t>(workspace_.rows.size()) < args_.rows) workspace_.rows.resize(args_.rows);
  for (size_t part = 0; part < inputs_.size(); ++part) inputs_[part].Reserve(args_.rows, &workspace_.reads[part]);
}

void Product::QuantizeRow(int64_t row) noexcept {
  int8_t* codes = reinterpret_cast<int8_t*>(workspace_.codes.data()) + row * code_stride_;
  workspace_.rows[row] = kernels_.product.quantize(quantization_, args_.x + row * config_.inputs, codes);
  folded_.flips.Apply(codes, &workspace_.rows[row]);
  std::fill(codes + config_.inputs, codes + 4 * folded_.linear.quads, int8_t{0});
  for (ReadInputs& inputs : inputs_) inputs.PackRow(row, codes);
}

void Product::MultiplyGroup(int64_t panel, int64_t first_row, int rows, const int64_t* read_codes,
                            const int64_t* read_digital) noexcept {
  alignas(64) int32_t products[kMaxBytePlanes][kRowGroup * kPanelWidth];
  const LinearPart& linear = folded_.linear;
  const WeightPanel& weights = linear.panels[panel];
  const int8_t* codes = reinterpret_cast<const int8_t*>(workspace_.codes.data()) + first_row * code_stride_;
  const int64_t column = panel * kPanelWidth;
  const Epilogue epilogue{rows,
                          static_cast<int>(std::min<int64_t>(kPanelWidth, config_.outputs - column)),
                          workspace_.rows.data() + first_row,
                          args_.weight_scale + column,
                          args_.bias + column,
                          args_.y + first_row * config_.outputs + column,
                          config_.outputs};
  for (int plane = 0; plane < weights.planes; ++plane) {
    const uint8_t* bytes = weights.bytes + plane * linear.plane_size;
    kernels_.product.multiply(codes, code_stride_, rows, bytes, linear.quads, products[plane]);
  }
  if (weights.planes == 1 && read_codes == nullptr && linear.constant.empty() && linear.unit == 1) {
    kernels_.product.finish(epilogue, products[0]);
    return;
  }
  const double step = folded_.code_step;
  WideTerms terms{};
  for (int plane = 1; plane < weights.planes; ++plane) terms.higher[plane - 1] = products[plane];
  terms.constant = linear.constant.empty() ? nullptr : linear.constant.data() + column;
  terms.read_codes = read_codes;
  terms.read_digital = read_digital;
  terms.step = step;
  terms.integer_step = step == static_cast<double>(static_cast<int64_t>(step));
  terms.unit = linear.unit;
  kernels_.product.finish_wide(epilogue, products[0], terms);
}

void Product::MultiplyBlock(int64_t panel, int64_t first_row, int64_t rows) noexcept {
  int64_t read_codes[kReadRows * kPanelWidth];
  int64_t read_digital[kReadRows * kPanelWidth];
  bool any = false;
  const auto read = [&](const auto& reads, const ReadPlan& plan, const ReadInputs& inputs) {
    if (!plan.HasPanel(panel)) return;
    if (!any) {
      std::fill_n(read_codes, rows * kPanelWidth, 0);
      std::fill_n(read_digital, rows * kPanelWidth, 0);
    }
    any = true;
    reads.AddPanel(panel, first_row, static_cast<int>(rows), read_codes);
    inputs.SubtractDigital(panel, first_row, static_cast<int>(rows), read_digital);
  };
  read(single_, folded_.single.plan, inputs_[0]);
  read(voted_, folded_.voted.plan, inputs_[1]);
  read(analog_, folded_.analog.plan, inputs_[2]);
  const int64_t groups = CeilDiv(rows, kRowGroup);
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t begin = rows * group / groups, end = rows * (group + 1) / groups;
    MultiplyGroup(panel, first_row + begin, static_cast<int>(end - begin),
                  any ? read_codes + begin * kPanelWidth : nullptr, any ? read_digital + begin * kPanelWidth : nullptr);
  }
}

int64_t Product::TaskRows() const {
  const int64_t panels = static_cast<int64_t>(folded_.linear.panels.size());
  int64_t rows = has_reads_ ? kReadRows : kMaxTaskRows;
  while (rows > 4 * kRowGroup && CeilDiv(args_.rows, rows) * panels < kMinTasks) rows /= 2;
  return rows;
}

void Product::Run(const ThreadPool& threads) {
  ReserveWorkspace();
  const int64_t inputs = config_.inputs, outputs = config_.outputs, rows = args_.rows;
  const int64_t chunk = CeilDiv(kSmallQuantization / 4, inputs);
  auto quantize = [&](int64_t i) {
    for (int64_t row = i * chunk; row < std::min(rows, (i + 1) * chunk); ++row) QuantizeRow(row);
  };
  ForAll(threads, rows * inputs > kSmallQuantization, CeilDiv(rows, chunk), quantize);

  // Panels are the inner index: a block of rows stays in cache while the weights of all panels pass by.
  const int64_t panels = static_cast<int64_t>(folded_.linear.panels.size());
  const int64_t task_rows = TaskRows();
  auto multiply = [&](int64_t i) {
    const int64_t first_row = i / panels * task_rows;
    MultiplyBlock(i % panels, first_row, std::min(task_rows, rows - first_row));
  };
  ForAll(threads, rows * inputs * outputs > kSmallProduct, CeilDiv(rows, task_rows) * panels, multiply);
}

}  // namespace

std::unique_ptr<Workspace> WorkspacePool::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (idle_.empty()) return std::make_unique<Workspace>();
  std::unique_ptr<Workspace> workspace = std::move(idle_.back());
  idle_.pop_back();
  return workspace;
}

void WorkspacePool::Return(std::unique_ptr<Workspace> workspace) noexcept {
  try {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(workspace));
  } catch (...) {
    // Out of memory: the workspace is freed instead of kept.
  }
}

void MatMul(const Layer& layer, const FoldedLayer& folded, const KernelTable& kernels, WorkspacePool* workspaces,
            const ThreadPool& threads, const MatMulArgs& args) {
  if (args.rows == 0) return;
  const WorkspacePool::Lease workspace(workspaces);
  Product(layer, folded, kernels, args, workspace.operator->()).Run(threads);
}

}  // namespace rcompile
