// The part of ONNX Runtime's C ABI that this library uses, declared by hand because no Python package ships the
// headers.  ONNX Runtime's function tables are append-only: a slot number never changes once released.  The newest
// slot below appeared in API version 24.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ortabi {

constexpr uint32_t kApiVersion = 24;

struct CustomOpDomain;
struct DataType;
struct EpDevice;
struct GraphSupportInfo;
struct Graph;
struct HardwareDevice;
struct KernelContext;
struct KernelDef;
struct KernelDefBuilder;
struct KernelInfo;
struct KernelRegistry;
struct Logger;
struct Node;
struct OpAttr;
struct RunOptions;
struct SessionOptions;
struct ShapeInferContext;
struct Status;  // nullptr is success
struct TensorInfo;
struct Value;

struct CustomOp;
struct Ep;
struct EpFactory;
struct KernelImpl;

enum StatusCode : int { kFail = 1, kInvalidArgument = 2 };
enum ElementType : int { kFloat32 = 1, kUint8 = 2, kInt32 = 6 };
enum OpAttrType : int { kAttrInt = 1 };
enum HardwareType : int { kCpu = 0 };

struct ApiBase {
  const void* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

// One entry of a function table: its number and its signature.
template <class Signature, int kSlot>
struct Entry;
template <class R, class... Args, int kSlot>
struct Entry<R(Args...), kSlot> {
  static R Call(const void* table, Args... args) {
    return reinterpret_cast<R (*)(Args...)>(static_cast<void* const*>(table)[kSlot])(args...);
  }
};

using KernelCreateFn = Status* (*)(void* state, const KernelInfo*, KernelImpl**);
using ParallelFn = void (*)(void* state, size_t index);

namespace api {
using CreateStatus = Entry<Status*(int code, const char* message), 0>;
using GetErrorCode = Entry<int(const Status*), 1>;
using GetErrorMessage = Entry<const char*(const Status*), 2>;
using ReleaseStatus = Entry<void(Status*), 93>;
using CreateCustomOpDomain = Entry<Status*(const char*, CustomOpDomain**), 26>;
using CustomOpDomain_Add = Entry<Status*(CustomOpDomain*, const CustomOp*), 27>;
using AddCustomOpDomain = Entry<Status*(SessionOptions*, CustomOpDomain*), 28>;
using ReleaseCustomOpDomain = Entry<void(CustomOpDomain*), 101>;
using GetTensorMutableData = Entry<Status*(Value*, void**), 51>;
using GetTensorData = Entry<Status*(const Value*, const void**), 378>;
using GetTensorTypeAndShapeReference =
    Entry<Status*(const Value*, int* element_type, const int64_t** dims, size_t* rank), 414>;
using CreateTensorInfo = Entry<Status*(TensorInfo**), 57>;
using SetElementType = Entry<Status*(TensorInfo*, int), 58>;
using SetDimensions = Entry<Status*(TensorInfo*, const int64_t*, size_t), 59>;
using GetDimensionsCount = Entry<Status*(const TensorInfo*, size_t*), 61>;
using GetDimensions = Entry<Status*(const TensorInfo*, int64_t*, size_t), 62>;
using GetSymbolicDimensions = Entry<Status*(const TensorInfo*, const char**, size_t), 63>;
using SetSymbolicDimensions = Entry<Status*(TensorInfo*, const char**, size_t), 271>;
using ReleaseTensorInfo = Entry<void(TensorInfo*), 99>;
using KernelInfoGetAttribute_float = Entry<Status*(const KernelInfo*, const char*, float*), 85>;
using KernelInfoGetAttribute_int64 = Entry<Status*(const KernelInfo*, const char*, int64_t*), 86>;
using KernelInfoGetAttribute_string = Entry<Status*(const KernelInfo*, const char*, char*, size_t*), 87>;
using KernelInfoGetAttributeArray_int64 = Entry<Status*(const KernelInfo*, const char*, int64_t*, size_t* size), 163>;
using KernelInfoGetConstantInput = Entry<Status*(const KernelInfo*, size_t, int* is_constant, const Value**), 249>;
using KernelContext_GetInput = Entry<Status*(const KernelContext*, size_t, const Value**), 90>;
using KernelContext_GetOutput = Entry<Status*(KernelContext*, size_t, const int64_t*, size_t, Value**), 91>;
using KernelContext_ParallelFor =
    Entry<Status*(const KernelContext*, ParallelFn, size_t total, size_t batches, void* state), 274>;
using HasSessionConfigEntry = Entry<Status*(const SessionOptions*, const char*, int*), 237>;
using GetSessionConfigEntry = Entry<Status*(const SessionOptions*, const char*, char*, size_t*), 238>;
using ShapeInfer_GetInputInfo = Entry<Status*(const ShapeInferContext*, size_t, TensorInfo**), 268>;
using ShapeInfer_GetAttribute = Entry<Status*(const ShapeInferContext*, const char*, const OpAttr**), 269>;
using ShapeInfer_SetOutputInfo = Entry<Status*(const ShapeInferContext*, size_t, const TensorInfo*), 270>;
using ReadOpAttr = Entry<Status*(const OpAttr*, int type, void* data, size_t length, size_t* needed), 272>;
using HardwareDevice_Type = Entry<int(const HardwareDevice*), 307>;
using GetEpApi = Entry<const void*(), 317>;
using Graph_GetNumNodes = Entry<Status*(const Graph*, size_t*), 344>;
using Graph_GetNodes = Entry<Status*(const Graph*, const Node**, size_t), 345>;
using Node_GetOperatorType = Entry<Status*(const Node*, const char**), 350>;
using Node_GetDomain = Entry<Status*(const Node*, const char**), 351>;
}  // namespace api

namespace ep_api {
using CreateEpDevice =
    Entry<Status*(EpFactory*, const HardwareDevice*, const void* metadata, const void* options, EpDevice**), 0>;
using AddSingleNode = Entry<Status*(GraphSupportInfo*, const Node*), 3>;
using CreateKernelRegistry = Entry<Status*(KernelRegistry**), 18>;
using ReleaseKernelRegistry = Entry<void(KernelRegistry*), 19>;
using KernelRegistry_AddKernel = Entry<Status*(KernelRegistry*, const KernelDef*, KernelCreateFn, void* state), 20>;
using CreateKernelDefBuilder = Entry<Status*(KernelDefBuilder**), 21>;
using ReleaseKernelDefBuilder = Entry<void(KernelDefBuilder*), 22>;
using SetOperatorType = Entry<Status*(KernelDefBuilder*, const char*), 23>;
using SetDomain = Entry<Status*(KernelDefBuilder*, const char*), 24>;
using SetSinceVersion = Entry<Status*(KernelDefBuilder*, int first, int last), 25>;
using SetExecutionProvider = Entry<Status*(KernelDefBuilder*, const char*), 26>;
using BuildKernelDef = Entry<Status*(KernelDefBuilder*, KernelDef**), 32>;
using ReleaseKernelDef = Entry<void(KernelDef*), 33>;
}  // namespace ep_api

// Structs that this library fills in: the version, then one pointer per slot.  A null slot means "not implemented".

struct KernelImpl {
  uint32_t version;
  uint32_t flags;
  Status* (*Compute)(KernelImpl*, KernelContext*);
  void (*Release)(KernelImpl*);
  void* PrePackWeight;
  void* SetSharedPrePackedWeight;
  void* reserved[8];
};

struct Ep {
  uint32_t version;
  const char* (*GetName)(const Ep*);
  Status* (*GetCapability)(Ep*, const Graph*, GraphSupportInfo*);
  void* Compile;
  void* ReleaseNodeComputeInfos;
  void* GetPreferredDataLayout;
  void* ShouldConvertDataLayoutForOp;
  Status* (*SetDynamicOptions)(Ep*, const char* const* keys, const char* const* values, size_t count);
  Status* (*OnRunStart)(Ep*, const RunOptions*);
  Status* (*OnRunEnd)(Ep*, const RunOptions*, bool sync_stream);
  void* CreateAllocator;
  void* CreateSyncStreamForDevice;
  void* GetCompiledModelCompatibilityInfo;
  Status* (*GetKernelRegistry)(Ep*, const KernelRegistry**);
  Status* (*IsConcurrentRunSupported)(Ep*, bool*);
  void* reserved[32];
};

struct EpFactory {
  uint32_t version;
  const char* (*GetName)(const EpFactory*);
  const char* (*GetVendor)(const EpFactory*);
  Status* (*GetSupportedDevices)(EpFactory*, const HardwareDevice* const*, size_t count, EpDevice**, size_t capacity,
                                 size_t* filled);
  Status* (*CreateEp)(EpFactory*, const HardwareDevice* const*, const void* const* metadata, size_t count,
                      const SessionOptions*, const Logger*, Ep**);
  void (*ReleaseEp)(EpFactory*, Ep*);
  uint32_t (*GetVendorId)(const EpFactory*);
  const char* (*GetVersion)(const EpFactory*);
  void* ValidateCompiledModelCompatibilityInfo;
  Status* (*CreateAllocator)(EpFactory*, const void* memory_info, const void* options, void** allocator);
  void (*ReleaseAllocator)(EpFactory*, void*);
  Status* (*CreateDataTransfer)(EpFactory*, void**);
  bool (*IsStreamAware)(const EpFactory*);
  void* CreateSyncStreamForDevice;
  void* GetHardwareDeviceIncompatibilityDetails;
  void* CreateExternalResourceImporterForDevice;
  Status* (*GetNumCustomOpDomains)(EpFactory*, size_t*);
  Status* (*GetCustomOpDomains)(EpFactory*, CustomOpDomain**, size_t capacity);
  void* reserved[32];
};

struct CustomOp {
  uint32_t version;
  void* CreateKernel;
  const char* (*GetName)(const CustomOp*);
  const char* (*GetExecutionProviderType)(const CustomOp*);
  int (*GetInputType)(const CustomOp*, size_t);
  size_t (*GetInputTypeCount)(const CustomOp*);
  int (*GetOutputType)(const CustomOp*, size_t);
  size_t (*GetOutputTypeCount)(const CustomOp*);
  void* KernelCompute;
  void (*KernelDestroy)(void*);
  int (*GetInputCharacteristic)(const CustomOp*, size_t);
  int (*GetOutputCharacteristic)(const CustomOp*, size_t);
  int (*GetInputMemoryType)(const CustomOp*, size_t);
  void* GetVariadicInputMinArity;
  void* GetVariadicInputHomogeneity;
  void* GetVariadicOutputMinArity;
  void* GetVariadicOutputHomogeneity;
  Status* (*CreateKernelV2)(const CustomOp*, const void* api, const KernelInfo*, void** kernel);
  Status* (*KernelComputeV2)(void* kernel, KernelContext*);
  Status* (*InferOutputShape)(const CustomOp*, ShapeInferContext*);
  int (*GetStartVersion)(const CustomOp*);
  int (*GetEndVersion)(const CustomOp*);
  void* GetMayInplace;
  void* ReleaseMayInplace;
  void* GetAliasMap;
  void* ReleaseAliasMap;
};

}  // namespace ortabi
