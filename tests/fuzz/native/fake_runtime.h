// ONNX Runtime as far as one node of the provider sees it: attributes, constants, session options and a thread pool,
// behind the same table of functions, so that the provider's own code runs without ONNX Runtime.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "ort/abi.h"

namespace ortabi {

struct Status {
  int code;
  std::string message;
};

// A tensor whose bytes lie anywhere, as those of a mapped file do; what is read beyond them is seen.
struct Value {
  int type = 0;
  std::vector<int64_t> dims;
  std::vector<uint8_t> bytes;  // after `shift` others
  size_t shift = 0;
};

struct KernelInfo {
  using Attribute = std::variant<int64_t, float, std::string, std::vector<int64_t>>;
  std::map<std::string, Attribute> attributes;
  std::map<size_t, Value> constants;  // by input
};

struct KernelContext {
  const Value* x;
  Value y;
};

struct SessionOptions {
  std::map<std::string, std::string> entries;
};

}  // namespace ortabi

namespace fuzz {

// Whatever was returned as a status: empty if it is none.  Only what the caller gave may be at fault: anything else is
// a finding, and ends the process.
std::string Refusal(ortabi::Status* status);

// Ends the process unless `holds`.
void Require(bool holds, const char* what);

// A provider and the kernel of one node.
class Session {
 public:
  using Options = std::map<std::string, std::string>;

  // `options`: without their prefix.
  explicit Session(const Options& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const std::string& refusal() const { return refusal_; }  // of the options
  // What the provider says against the node or the options; empty if it takes them.
  std::string Create(const ortabi::KernelInfo& node);
  std::string Change(const Options& options);
  // The product, in `y`.
  std::string Compute(const ortabi::Value& x, ortabi::Value* y);

 private:
  std::string refusal_;
  ortabi::Ep* provider_ = nullptr;
  std::vector<ortabi::KernelImpl*> kernels_;
};

}  // namespace fuzz
