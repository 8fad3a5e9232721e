// Random numbers without state, docs/hardware.md "Random numbers": the keys.  random_kernel.h draws with them.
#pragma once

#include <cstdint>

#include "physics.h"

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

// The key of one of a tile's rows of x, or of a tile itself.
inline uint64_t SubKey(uint64_t key, int64_t number) {
  return Mix64(key ^ Mix64(static_cast<uint64_t>(number) + 0x9E3779B97F4A7C15u));
}

// `tile`: its number in the bundle.
inline uint64_t TileKey(uint64_t seed, Purpose purpose, int64_t tile) {
  const uint64_t p = static_cast<uint64_t>(purpose);
  return SubKey(purpose == Purpose::kStuck ? seed : Mix64(seed + p * 0xD1B54A32D192ED03u), tile);
}

inline WordKey Halves(uint64_t key) { return {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)}; }

// Words below `threshold`, which is at most 2^32.
inline WordRange Below(uint64_t threshold) { return {threshold > 0, 0, static_cast<uint32_t>(threshold - 1)}; }

// Words that an event of this rate, 0 .. 1, happens at.
inline WordRange Event(double rate) { return Below(static_cast<uint64_t>(rate * 4294967296.0)); }

}  // namespace rcompile
