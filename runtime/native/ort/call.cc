#include "ort/call.h"

namespace rcompile {

using namespace ortabi;

const void* Tables::api = nullptr;
const void* Tables::ep = nullptr;

Status* LoadTables(const ApiBase* base) noexcept {
  const void* table = base->GetApi(kApiVersion);
  if (table == nullptr) {
    // Version 1 of the table is always there, and CreateStatus is its first entry.
    return api::CreateStatus::Call(base->GetApi(1), kFail,
                                   "CrossbarExecutionProvider needs ONNX Runtime 1.24 or newer");
  }
  Tables::api = table;
  Tables::ep = api::GetEpApi::Call(table);
  return nullptr;
}

void Check(Status* status) {
  if (status == nullptr) return;
  const auto code = Ort<api::GetErrorCode>(status) == kInvalidArgument ? kInvalidArgument : kFail;
  const std::string message = Ort<api::GetErrorMessage>(status);
  Ort<api::ReleaseStatus>(status);
  throw StatusError(message, code);
}

}  // namespace rcompile
