#include <immintrin.h>

#define RCOMPILE_VECTOR_BYTES 64
#include "simd/analog_read_kernel.h"
#include "simd/avx512.h"
#include "simd/cells_kernel.h"
#include "simd/finish_kernel.h"
#include "simd/fold_kernel.h"
#include "simd/lookup_read_kernel.h"
#include "simd/quantize_kernel.h"
#include "simd/voted_read_kernel.h"
#include "simd/whole_read_kernel.h"

namespace rcompile {
namespace {

struct Avx512 : Avx512Lanes {
  static constexpr int kWordlines = 4;
  static inline __attribute__((always_inline)) Vector<uint8_t> Table(const uint8_t* levels) {
    return (Vector<uint8_t>)_mm512_broadcast_i32x4(LoadVector<__m128i>(kQuadSums.sums[*levels]));
  }
  static inline __attribute__((always_inline)) Vector<uint8_t> LookUp(const Vector<uint8_t>& table,
                                                                      const Vector<uint8_t>& patterns) {
    return (Vector<uint8_t>)_mm512_shuffle_epi8((__m512i)table, (__m512i)patterns);
  }
};

// kRows input rows times a whole panel: 24 sums, 4 weight vectors and one code vector fill the register file.  The
// loops over rows must be unrolled early, or the sums would live in memory.
template <int kRows>
void MultiplyBlock(const int8_t* x, int64_t x_stride, const uint8_t* plane, int64_t quads, int32_t* acc) {
  __m512i sum[kRows][4];
#pragma GCC unroll 6
  for (int row = 0; row < kRows; ++row) {
    sum[row][0] = sum[row][1] = sum[row][2] = sum[row][3] = _mm512_setzero_si512();
  }
  for (int64_t q = 0; q < quads; ++q, plane += 4 * kPanelWidth, x += 4) {
    const __m512i w0 = _mm512_loadu_si512(plane);
    const __m512i w1 = _mm512_loadu_si512(plane + 64);
    const __m512i w2 = _mm512_loadu_si512(plane + 128);
    const __m512i w3 = _mm512_loadu_si512(plane + 192);
#pragma GCC unroll 6
    for (int row = 0; row < kRows; ++row) {
      int32_t four;
      std::memcpy(&four, x + row * x_stride, sizeof four);
      const __m512i codes = _mm512_set1_epi32(four);
      sum[row][0] = _mm512_dpbusd_epi32(sum[row][0], w0, codes);
      sum[row][1] = _mm512_dpbusd_epi32(sum[row][1], w1, codes);
      sum[row][2] = _mm512_dpbusd_epi32(sum[row][2], w2, codes);
      sum[row][3] = _mm512_dpbusd_epi32(sum[row][3], w3, codes);
    }
  }
#pragma GCC unroll 6
  for (int row = 0; row < kRows; ++row) {
    for (int j = 0; j < 4; ++j) _mm512_storeu_si512(acc + row * kPanelWidth + 16 * j, sum[row][j]);
  }
}

void Multiply(const int8_t* x, int64_t x_stride, int rows, const uint8_t* plane, int64_t quads, int32_t* acc) {
  switch (rows) {
    case 1: return MultiplyBlock<1>(x, x_stride, plane, quads, acc);
    case 2: return MultiplyBlock<2>(x, x_stride, plane, quads, acc);
    case 3: return MultiplyBlock<3>(x, x_stride, plane, quads, acc);
    case 4: return MultiplyBlock<4>(x, x_stride, plane, quads, acc);
    case 5: return MultiplyBlock<5>(x, x_stride, plane, quads, acc);
    default: return MultiplyBlock<kRowGroup>(x, x_stride, plane, quads, acc);
  }
}

}  // namespace

// kernels_avx512vbmi.cc
void ReadLookupVbmi(const LookupRead& read);

extern const KernelTable kAvx512Kernels;
const KernelTable kAvx512Kernels = {
    "avx512",
    kVectorBytes,
    kCellKernels,
    kFoldKernels,
    {ReadWhole<Avx512>, ReadVoted<Avx512>, ReadLookup<Avx512>, Avx512::kWordlines, ReadAnalog, Scatter},
    {QuantizeRow, Multiply, Finish, FinishWide},
};

extern const KernelTable kAvx512VbmiKernels;
const KernelTable kAvx512VbmiKernels = {
    "avx512vbmi",
    kVectorBytes,
    kCellKernels,
    kFoldKernels,
    {ReadWhole<Avx512>, ReadVoted<Avx512>, ReadLookupVbmi, kVbmiWordlines, ReadAnalog, Scatter},
    {QuantizeRow, Multiply, Finish, FinishWide},
};

}  // namespace rcompile
