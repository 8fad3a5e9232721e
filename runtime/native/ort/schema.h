// The schema of CrossbarMatMul, as ONNX Runtime's custom operators bring it, and a kernel for the CPU provider.
#pragma once

#include "ort/abi.h"

namespace rcompile {

enum class CpuKernel {
  // The provider's own domain: when a session with wrong options falls back to the CPU provider, computing a clean die
  // there would hide the mistake.
  kRefused,
  kCleanDie,
};

// The caller releases it.
ortabi::CustomOpDomain* CreateDomain(CpuKernel cpu_kernel);

}  // namespace rcompile
