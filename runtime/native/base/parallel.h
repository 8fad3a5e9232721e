#pragma once

#include <cstddef>

namespace rcompile {

// A borrowed thread pool: run(pool, task, state, count) calls task(state, i) for every i < count, on whatever threads
// there are, and returns when all are done.  `task` must not throw.
struct ThreadPool {
  using Task = void (*)(void* state, size_t index);
  void (*run)(const void* pool, Task task, void* state, size_t count);
  const void* pool;

  template <class Function>
  void For(size_t count, Function& function) const {
    run(pool, [](void* state, size_t index) noexcept { (*static_cast<Function*>(state))(index); }, &function, count);
  }
};

}  // namespace rcompile
