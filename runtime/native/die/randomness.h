// Random numbers without state, docs/hardware.md "Random numbers": the keys.  random_kernel.h draws with them.
#pragma once

#include <cstdint>

#include "simd/words.h"

namespace rcompile {

enum class Purpose : uint64_t {
  kStuck,
  kBetween,
  kProgramming,
  kSpread,
  kCluster,
  kWordline,
  kBitline,
  kCrossbar,
  kAdcOffset,
  kAdcGain,
  kReadNoise,
  kCodeFlip,
  kActivation,
};

inline uint64_t Mix64(uint64_t z) {
  z ^= z >> 30;
  z *= 0xBF58476D1CE4E5B9u;
  z ^= z >> 27;
  z *= 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// What is made of a key for one of many things that it has.
inline uint64_t SubKey(uint64_t key, uint64_t number) { return Mix64(key ^ Mix64(number + 0x9E3779B97F4A7C15u)); }

// Of a row of input codes.
inline uint64_t RowDigest(const int8_t* codes, int64_t inputs) {
  uint64_t digest = 0;
  for (int64_t k = 0; k < inputs; k += 8) {
    uint64_t word = 0;  // little-endian
    for (int64_t i = 0; i < 8 && k + i < inputs; ++i) {
      word |= static_cast<uint64_t>(static_cast<uint8_t>(codes[k + i])) << (8 * i);
    }
    digest = Mix64((digest ^ word) + 0x9E3779B97F4A7C15u);
  }
  return digest;
}

inline uint64_t CrossbarKey(uint64_t seed, Purpose purpose, int64_t crossbar) {
  const uint64_t p = static_cast<uint64_t>(purpose);
  const uint64_t of_purpose = purpose == Purpose::kStuck ? seed : Mix64(seed + p * 0xD1B54A32D192ED03u);
  return SubKey(of_purpose, static_cast<uint64_t>(crossbar));
}

// `digest`: of the row of input codes.
inline uint64_t RowKey(uint64_t crossbar_key, uint64_t digest) { return SubKey(crossbar_key, digest); }

inline WordKey Halves(uint64_t key) { return {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)}; }

inline uint32_t Mix32(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7FEB352Du;
  x ^= x >> 15;
  x *= 0x846CA68Bu;
  return x ^ (x >> 16);
}

inline uint32_t WordOf(WordKey key, uint32_t index) { return Mix32(Mix32(index ^ key.low) ^ key.high); }

// Words below `threshold`, which is at most 2^32.
inline WordRange Below(uint64_t threshold) { return {threshold > 0, 0, static_cast<uint32_t>(threshold - 1)}; }

// Words that an event of this rate, 0 .. 1, happens at.
inline WordRange Event(double rate) { return Below(static_cast<uint64_t>(rate * 4294967296.0)); }

}  // namespace rcompile
