#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace rcompile {

// Lets in many runs at a time, or one change: a change waits for the runs that are in, and runs that come meanwhile
// wait for it.  So every run sees one state from its start to its end, on whatever threads its nodes are computed.
class RunGate {
 public:
  void Enter() {
    std::unique_lock<std::mutex> lock(mutex_);
    opened_.wait(lock, [this] { return !closed_; });
    ++runs_;
  }
  void Leave() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (--runs_ == 0) emptied_.notify_all();
  }
  // One at a time; `change` must not throw.
  template <class Change>
  void WhileEmpty(const Change& change) {
    std::unique_lock<std::mutex> lock(mutex_);
    closed_ = true;
    emptied_.wait(lock, [this] { return runs_ == 0; });
    change();
    closed_ = false;
    opened_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  std::condition_variable emptied_;
  int64_t runs_ = 0;
  bool closed_ = false;
};

}  // namespace rcompile
