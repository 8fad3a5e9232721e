#pragma once

#include <stdexcept>
#include <string>

namespace rcompile {

// What the caller gave cannot be used: a model, an option, a fault map.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

}  // namespace rcompile
