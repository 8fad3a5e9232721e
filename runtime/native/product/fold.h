// Folding: from a layer and a die to what the product needs, packed weights for bitlines that cannot clip and plans of
// reads for the others.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/aligned_bytes.h"
#include "die/cells.h"
#include "die/flips.h"
#include "layer/layer.h"
#include "product/analog_reads.h"
#include "product/linear.h"
#include "product/whole_reads.h"
#include "simd/kernels.h"

namespace rcompile {

// Bitlines that are computed read by read, and how.
struct WholePart {
  WholeMode mode;
  WholePlan plan;
};

struct AnalogPart {
  AnalogMode mode;
  AnalogPlan plan;
};

struct FoldedLayer {
  FoldedLayer(const WholeMode& single_mode, const WholeMode& voted_mode, const AnalogMode& analog_mode)
      : single{single_mode, {}}, voted{voted_mode, {}}, analog{analog_mode, {}} {}

  ActivationFlips flips;
  LinearPart linear;
  double code_step = 1;  // of a read's code, in the linear part's units
  WholePart single;
  WholePart voted;        // vote groups whose replicas differ, if they vote in each read
  AnalogPart analog;      // takes the place of both where sums of whole levels do not say what a read gives
  int64_t collapsed = 0;  // vote groups that passed the collapse proof
  FaultCount faults;
};

struct FoldOptions {
  const KernelTable* kernels = nullptr;
  bool force_bit_serial = false;
};

// `combiner`: not kAsCompiled.
std::shared_ptr<const FoldedLayer> FoldLayer(const Layer& layer, const Die& die, Combiner combiner,
                                             const FoldOptions& options);

}  // namespace rcompile
