// The permutations of AVX-512 VBMI reach across a whole register: a table of 64 patterns, six wordlines.
#include <immintrin.h>

#define RCOMPILE_VECTOR_BYTES 64
#include "simd/avx512.h"
#include "simd/lookup_read_kernel.h"

namespace rcompile {
namespace {

// sums[levels][pattern] of two wordlines, the pattern's highest bits.
struct PairSums {
  alignas(64) uint8_t sums[16][64];
};
constexpr PairSums MakePairSums() {
  PairSums table{};
  for (int levels = 0; levels < 16; ++levels) {
    for (int pattern = 0; pattern < 64; ++pattern) {
      table.sums[levels][pattern] =
          static_cast<uint8_t>((pattern >> 4 & 1) * (levels & 3) + (pattern >> 5) * (levels >> 2));
    }
  }
  return table;
}
constexpr PairSums kPairSums = MakePairSums();

struct Avx512Vbmi : Avx512Lanes {
  static constexpr int kWordlines = kVbmiWordlines;
  static inline __attribute__((always_inline)) Vector<uint8_t> Table(const uint8_t* levels) {
    const __m512i quad = _mm512_broadcast_i32x4(LoadVector<__m128i>(kQuadSums.sums[levels[0]]));
    return (Vector<uint8_t>)quad + LoadVector<Vector<uint8_t>>(kPairSums.sums[levels[1]]);
  }
  static inline __attribute__((always_inline)) Vector<uint8_t> LookUp(const Vector<uint8_t>& table,
                                                                      const Vector<uint8_t>& patterns) {
    return (Vector<uint8_t>)_mm512_permutexvar_epi8((__m512i)patterns, (__m512i)table);
  }
};

}  // namespace

void ReadLookupVbmi(const LookupRead& read) { ReadLookup<Avx512Vbmi>(read); }

}  // namespace rcompile
