// What the reads of both AVX-512 paths share.  Compiled as vectors.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "simd/lookup_read_kernel.h"
#include "simd/vectors.h"

namespace rcompile {
namespace {

struct Avx512Lanes {
  static inline __attribute__((always_inline)) Vector<uint8_t> AddSaturated(const Vector<uint8_t>& a,
                                                                            const Vector<uint8_t>& b) {
    return (Vector<uint8_t>)_mm512_adds_epu8((__m512i)a, (__m512i)b);
  }
  static inline __attribute__((always_inline)) LaneCodes Dot(const Vector<uint8_t>& values,
                                                             const Vector<uint8_t>& weights) {
    return (LaneCodes)_mm512_dpbusd_epi32(_mm512_setzero_si512(), (__m512i)values, (__m512i)weights);
  }
};

}  // namespace
}  // namespace rcompile
