// What nodes are made of: numbers and tensors.
#pragma once

#include <cstring>
#include <utility>
#include <vector>

#include "die/randomness.h"
#include "fake_runtime.h"

namespace fuzz {

// Numbers without end from one; a fuzzer's bytes are better spent on shapes.
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed) {}
  uint64_t Next() { return rcompile::Mix64(state_ += 0x9E3779B97F4A7C15u); }
  int64_t Below(int64_t limit) { return static_cast<int64_t>(Next() % static_cast<uint64_t>(limit)); }
  bool Once(int in) { return Below(in) == 0; }
  template <class T>
  void Shuffle(std::vector<T>* values) {
    for (size_t i = values->size(); i > 1; --i) std::swap((*values)[i - 1], (*values)[Below(static_cast<int64_t>(i))]);
  }

 private:
  uint64_t state_;
};

template <class T>
ortabi::Value Tensor(ortabi::ElementType type, std::vector<int64_t> dims, const std::vector<T>& numbers, size_t shift) {
  std::vector<uint8_t> bytes(shift + numbers.size() * sizeof(T));
  if (!numbers.empty()) std::memcpy(bytes.data() + shift, numbers.data(), numbers.size() * sizeof(T));
  return {type, std::move(dims), std::move(bytes), shift};
}

}  // namespace fuzz
