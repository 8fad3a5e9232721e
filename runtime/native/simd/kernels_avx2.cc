#include <immintrin.h>

#define RCOMPILE_VECTOR_BYTES 32
#include "simd/analog_read_kernel.h"
#include "simd/cells_kernel.h"
#include "simd/finish_kernel.h"
#include "simd/fold_kernel.h"
#include "simd/lookup_read_kernel.h"
#include "simd/quantize_kernel.h"
#include "simd/voted_read_kernel.h"
#include "simd/whole_read_kernel.h"

namespace rcompile {
namespace {

struct Avx2 {
  static inline __attribute__((always_inline)) Vector<uint8_t> AddSaturated(const Vector<uint8_t>& a,
                                                                            const Vector<uint8_t>& b) {
    return (Vector<uint8_t>)_mm256_adds_epu8((__m256i)a, (__m256i)b);
  }
  static constexpr int kWordlines = 4;
  static inline __attribute__((always_inline)) Vector<uint8_t> Table(const uint8_t* levels) {
    return (Vector<uint8_t>)_mm256_broadcastsi128_si256(LoadVector<__m128i>(kQuadSums.sums[*levels]));
  }
  static inline __attribute__((always_inline)) Vector<uint8_t> LookUp(const Vector<uint8_t>& table,
                                                                      const Vector<uint8_t>& patterns) {
    return (Vector<uint8_t>)_mm256_shuffle_epi8((__m256i)table, (__m256i)patterns);
  }
  static inline __attribute__((always_inline)) LaneCodes Dot(const Vector<uint8_t>& values,
                                                             const Vector<uint8_t>& weights) {
    const __m256i v = (__m256i)values, w = (__m256i)weights;
    const __m256i even =
        _mm256_madd_epi16(_mm256_and_si256(v, _mm256_set1_epi16(255)), _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8));
    const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(v, 8), _mm256_srai_epi16(w, 8));
    return (LaneCodes)_mm256_add_epi32(even, odd);
  }
};

// Columns c .. c+3 of one quad of features, as 16-bit: 4 features of each column.
inline __m256i LoadWeights(const uint8_t* quad, int column) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(quad + 4 * column)));
}

inline __m256i BroadcastCodes(const int8_t* codes) {
  int32_t four;
  std::memcpy(&four, codes, sizeof four);
  return _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)));
}

// Pairs of 32-bit sums per column become one, for eight columns.
inline void StoreColumns(__m256i first, __m256i second, int32_t* out) {
  const __m256i sums = _mm256_hadd_epi32(first, second);  // columns 0 1 4 5 2 3 6 7
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permute4x64_epi64(sums, 0xD8));
}

// kRows input rows times 16 columns.  maddubs would saturate, hence 16-bit products.  The loops over rows must be
// unrolled early, or the sums would live in memory.
template <int kRows>
void MultiplyBlock(const int8_t* x, int64_t x_stride, const uint8_t* plane, int64_t quads, int32_t* acc) {
  __m256i sum[kRows][4];
#pragma GCC unroll 2
  for (int row = 0; row < kRows; ++row) {
    sum[row][0] = sum[row][1] = sum[row][2] = sum[row][3] = _mm256_setzero_si256();
  }
  for (int64_t q = 0; q < quads; ++q, plane += 4 * kPanelWidth, x += 4) {
    const __m256i w0 = LoadWeights(plane, 0);
    const __m256i w1 = LoadWeights(plane, 4);
    const __m256i w2 = LoadWeights(plane, 8);
    const __m256i w3 = LoadWeights(plane, 12);
#pragma GCC unroll 2
    for (int row = 0; row < kRows; ++row) {
      const __m256i codes = BroadcastCodes(x + row * x_stride);
      sum[row][0] = _mm256_add_epi32(sum[row][0], _mm256_madd_epi16(w0, codes));
      sum[row][1] = _mm256_add_epi32(sum[row][1], _mm256_madd_epi16(w1, codes));
      sum[row][2] = _mm256_add_epi32(sum[row][2], _mm256_madd_epi16(w2, codes));
      sum[row][3] = _mm256_add_epi32(sum[row][3], _mm256_madd_epi16(w3, codes));
    }
  }
#pragma GCC unroll 2
  for (int row = 0; row < kRows; ++row) {
    StoreColumns(sum[row][0], sum[row][1], acc + row * kPanelWidth);
    StoreColumns(sum[row][2], sum[row][3], acc + row * kPanelWidth + 8);
  }
}

void Multiply(const int8_t* x, int64_t x_stride, int rows, const uint8_t* plane, int64_t quads, int32_t* acc) {
  for (int column = 0; column < kPanelWidth; column += 16) {
    const uint8_t* w = plane + 4 * column;
    int row = 0;
    for (; row + 2 <= rows; row += 2) {
      MultiplyBlock<2>(x + row * x_stride, x_stride, w, quads, acc + row * kPanelWidth + column);
    }
    if (row < rows) MultiplyBlock<1>(x + row * x_stride, x_stride, w, quads, acc + row * kPanelWidth + column);
  }
}

}  // namespace

extern const KernelTable kAvx2Kernels;
const KernelTable kAvx2Kernels = {
    "avx2",
    kVectorBytes,
    kCellKernels,
    kFoldKernels,
    {ReadWhole<Avx2>, ReadVoted<Avx2>, ReadLookup<Avx2>, Avx2::kWordlines, ReadAnalog, Scatter},
    {QuantizeRow, Multiply, Finish, FinishWide},
};

}  // namespace rcompile
