// Buffers for vectors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace rcompile {

// Uninitialized memory on cache line boundaries.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  explicit AlignedBytes(size_t size) : data_(static_cast<uint8_t*>(::operator new(size, kAlignment))), size_(size) {}
  uint8_t* data() const { return data_.get(); }
  // Forgets what it held if it has to grow.
  void Reserve(size_t size) {
    if (size_ < size) *this = AlignedBytes(size);
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(uint8_t* data) const { ::operator delete(data, kAlignment); }
  };
  std::unique_ptr<uint8_t, Free> data_;
  size_t size_ = 0;
};

}  // namespace rcompile
