// Calls into ONNX Runtime with C++ error handling: a failed status becomes an exception, and every callback turns
// exceptions back into a status, so that none crosses the C boundary.
#pragma once

#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/error.h"
#include "ort/abi.h"

namespace rcompile {

// A status of ONNX Runtime's own.
class StatusError : public std::runtime_error {
 public:
  StatusError(const std::string& message, ortabi::StatusCode code) : std::runtime_error(message), code_(code) {}
  ortabi::StatusCode code() const { return code_; }

 private:
  ortabi::StatusCode code_;
};

// The function tables, set once before any other call.
struct Tables {
  static const void* api;
  static const void* ep;
};
// Returns an error status if this ONNX Runtime is too old.
ortabi::Status* LoadTables(const ortabi::ApiBase* base) noexcept;

template <class Function, class... Args>
auto Ort(Args&&... args) {
  return Function::Call(Tables::api, std::forward<Args>(args)...);
}
template <class Function, class... Args>
auto OrtEp(Args&&... args) {
  return Function::Call(Tables::ep, std::forward<Args>(args)...);
}

// Throws StatusError if `status` is an error; takes ownership of it.
void Check(ortabi::Status* status);

// Runs `body`; an exception becomes a status.
template <class Body>
ortabi::Status* Guard(Body&& body) noexcept {
  using ortabi::api::CreateStatus;
  try {
    body();
    return nullptr;
  } catch (const Error& error) {
    return Ort<CreateStatus>(ortabi::kInvalidArgument, error.what());
  } catch (const StatusError& error) {
    return Ort<CreateStatus>(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return Ort<CreateStatus>(ortabi::kFail, "crossbar: out of memory");
  } catch (const std::exception& error) {
    return Ort<CreateStatus>(ortabi::kFail, error.what());
  } catch (...) {
    return Ort<CreateStatus>(ortabi::kFail, "crossbar: unknown error");
  }
}

}  // namespace rcompile
