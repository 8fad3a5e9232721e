#include <string>

#include "base/error.h"
#include "simd/kernels.h"

namespace rcompile {

extern const KernelTable kPortableKernels;
#ifdef RCOMPILE_X86
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
extern const KernelTable kAvx512VbmiKernels;
#endif

namespace {

bool CpuHasAvx2() {
#ifdef RCOMPILE_X86
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#else
  return false;
#endif
}

bool CpuHasAvx512() {
#ifdef RCOMPILE_X86
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni") && CpuHasAvx2();
#else
  return false;
#endif
}

bool CpuHasAvx512Vbmi() {
#ifdef RCOMPILE_X86
  return __builtin_cpu_supports("avx512vbmi") && CpuHasAvx512();
#else
  return false;
#endif
}

}  // namespace

const KernelTable& SelectKernels(const char* isa) {
  const std::string name = isa;
  if (name != "auto" && name != "portable" && name != "avx2" && name != "avx512" && name != "avx512vbmi") {
    throw Error("isa '" + name + "' is not one of auto, portable, avx2, avx512, avx512vbmi");
  }
#ifdef RCOMPILE_X86
  if (CpuHasAvx512Vbmi() && (name == "auto" || name == "avx512vbmi")) return kAvx512VbmiKernels;
  if (CpuHasAvx512() && (name == "auto" || name == "avx512")) return kAvx512Kernels;
  if (CpuHasAvx2() && (name == "auto" || name == "avx2")) return kAvx2Kernels;
#endif
  if (name == "auto" || name == "portable") return kPortableKernels;
  throw Error("isa '" + name + "' is not supported by this CPU");
}

}  // namespace rcompile
