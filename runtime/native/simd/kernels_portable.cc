#define RCOMPILE_VECTOR_BYTES 16
#include "simd/analog_read_kernel.h"
#include "simd/cells_kernel.h"
#include "simd/finish_kernel.h"
#include "simd/fold_kernel.h"
#include "simd/quantize_kernel.h"
#include "simd/voted_read_kernel.h"
#include "simd/whole_read_kernel.h"

namespace rcompile {
namespace {

struct Portable {
  static inline __attribute__((always_inline)) Vector<uint8_t> AddSaturated(const Vector<uint8_t>& a,
                                                                            const Vector<uint8_t>& b) {
    const Vector<uint8_t> sum = a + b;
    return sum | (Vector<uint8_t>)(sum < a);
  }
};

void Multiply(const int8_t* x, int64_t x_stride, int rows, const uint8_t* plane, int64_t quads, int32_t* acc) {
  std::memset(acc, 0, sizeof(int32_t) * rows * kPanelWidth);
  for (int row = 0; row < rows; ++row) {
    int32_t* __restrict out = acc + row * kPanelWidth;
    for (int64_t q = 0; q < quads; ++q) {
      const int8_t* code = x + row * x_stride + 4 * q;
      const uint8_t* w = plane + q * 4 * kPanelWidth;
      for (int j = 0; j < kPanelWidth; ++j) {
        out[j] += code[0] * w[4 * j] + code[1] * w[4 * j + 1] + code[2] * w[4 * j + 2] + code[3] * w[4 * j + 3];
      }
    }
  }
}

}  // namespace

extern const KernelTable kPortableKernels;
const KernelTable kPortableKernels = {
    "portable",
    kVectorBytes,
    kCellKernels,
    kFoldKernels,
    {ReadWhole<Portable>, ReadVoted<Portable>, nullptr, 0, ReadAnalog, Scatter},
    {QuantizeRow, Multiply, Finish, FinishWide},
};

}  // namespace rcompile
