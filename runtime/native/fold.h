// Folding: from a layer and a die to what the product needs, packed weights for bitlines that cannot clip and a
// bit-serial plans for the others.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "aligned_bytes.h"
#include "bit_serial.h"
#include "cells.h"
#include "kernels.h"
#include "layer.h"

namespace rcompile {

// Effective weights of kPanelWidth outputs: w + 128 = low + 256 * (high - 128), high null where w fits a byte.
struct WeightPanel {
  const uint8_t* low;
  const uint8_t* high;
};

// Bitlines that are computed read by read, and how.
struct SerialPart {
  SerialMode mode;
  SerialPlan plan;
};

struct FoldedLayer {
  FoldedLayer(const SerialMode& single_mode, const SerialMode& voted_mode)
      : single{single_mode, {}}, voted{voted_mode, {}} {}

  int64_t quads = 0;  // inputs / 4, rounded up
  AlignedBytes memory;
  std::vector<WeightPanel> panels;
  std::vector<int64_t> constant;  // added to every result, per column of every panel; empty: all zero
  SerialPart single;
  SerialPart voted;       // vote groups whose replicas differ, if they vote in each read
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
