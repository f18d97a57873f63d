// A CUDA driver that does as it is told: what a GPU would have to break to be seen otherwise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "cuda/device/driver_device.h"
#include "cuda/kernels.h"
#include "system/error.h"
#include "tests/cuda/abi.h"

#if __has_include(<cuda.h>)
#include <cuda.h>
#endif

namespace flashbench::cuda {
namespace {

using testing::HasSubstr;

#if __has_include(<cuda.h>)
// The table was written by hand: the toolkit's own header agrees with it.
static_assert(kSuccess == CUDA_SUCCESS && kOutOfMemory == CUDA_ERROR_OUT_OF_MEMORY);
static_assert(kStubLibrary == CUDA_ERROR_STUB_LIBRARY);
static_assert(kMultiprocessorCount == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
static_assert(kL2CacheSize == CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
static_assert(kCapabilityMajor == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
static_assert(kCapabilityMinor == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
static_assert(kSharedBytesOptin == CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
static_assert(kMaxDynamicSharedBytes == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
static_assert(std::is_same_v<DevicePointer, CUdeviceptr>);
static_assert(same_abi<decltype(DriverApi::init), decltype(&cuInit)> &&
              same_abi<decltype(DriverApi::driver_version), decltype(&cuDriverGetVersion)> &&
              same_abi<decltype(DriverApi::device_count), decltype(&cuDeviceGetCount)> &&
              same_abi<decltype(DriverApi::device_get), decltype(&cuDeviceGet)> &&
              same_abi<decltype(DriverApi::device_name), decltype(&cuDeviceGetName)> &&
              same_abi<decltype(DriverApi::device_attribute), decltype(&cuDeviceGetAttribute)> &&
              same_abi<decltype(DriverApi::device_memory), decltype(&cuDeviceTotalMem_v2)> &&
              same_abi<decltype(DriverApi::device_pci_bus_id), decltype(&cuDeviceGetPCIBusId)> &&
              same_abi<decltype(DriverApi::context_retain), decltype(&cuDevicePrimaryCtxRetain)> &&
              same_abi<decltype(DriverApi::context_set), decltype(&cuCtxSetCurrent)> &&
              same_abi<decltype(DriverApi::context_wait), decltype(&cuCtxSynchronize)> &&
              same_abi<decltype(DriverApi::memory_info), decltype(&cuMemGetInfo_v2)> &&
              same_abi<decltype(DriverApi::allocate), decltype(&cuMemAlloc_v2)> &&
              same_abi<decltype(DriverApi::release), decltype(&cuMemFree_v2)> &&
              same_abi<decltype(DriverApi::to_device), decltype(&cuMemcpyHtoD_v2)> &&
              same_abi<decltype(DriverApi::to_host), decltype(&cuMemcpyDtoH_v2)> &&
              same_abi<decltype(DriverApi::set_bytes), decltype(&cuMemsetD8Async)> &&
              same_abi<decltype(DriverApi::module_load), decltype(&cuModuleLoadData)> &&
              same_abi<decltype(DriverApi::module_function), decltype(&cuModuleGetFunction)> &&
              same_abi<decltype(DriverApi::function_set), decltype(&cuFuncSetAttribute)> &&
              same_abi<decltype(DriverApi::launch), decltype(&cuLaunchKernel)> &&
              same_abi<decltype(DriverApi::tensor_map_encode), decltype(&cuTensorMapEncodeTiled)> &&
              same_abi<decltype(DriverApi::event_create), decltype(&cuEventCreate)> &&
              same_abi<decltype(DriverApi::event_record), decltype(&cuEventRecord)> &&
              same_abi<decltype(DriverApi::event_wait), decltype(&cuEventSynchronize)> &&
              same_abi<decltype(DriverApi::event_elapsed), decltype(&cuEventElapsedTime)> &&
              same_abi<decltype(DriverApi::error_name), decltype(&cuGetErrorName)> &&
              same_abi<decltype(DriverApi::error_text), decltype(&cuGetErrorString)>);
#endif

/// What the fake driver answers; one test runs at a time.
struct Script {
  Result launch = kSuccess, wait = kSuccess, allocate = kSuccess;
  void* current = nullptr;  ///< context
  int events = 0, recorded = 0;
  std::vector<std::string> calls;  ///< about events, in order
  std::size_t dynamic_bytes_set = 0;
  float elapsed_ms = 0;
  std::vector<unsigned> grid;
} script;

constexpr Result kIllegalAddress = 700;

char kEvents[] = "abc";  // a handle points to its name
std::string event_name(void* event) { return std::string(1, *static_cast<char*>(event)); }

DriverApi fake_driver() {
  DriverApi api{};
  api.driver_version = [](int* v) { return *v = 13000, kSuccess; };
  api.device_get = [](int* d, int index) { return *d = index, kSuccess; };
  api.device_name = [](char* name, int, int) { return std::strcpy(name, "Fake GPU"), kSuccess; };
  api.device_attribute = [](int* value, int which, int) {
    *value = which == kCapabilityMajor    ? 8
             : which == kCapabilityMinor  ? 6
             : which == kSharedBytesOptin ? 99 * 1024
                                          : 1000;
    return kSuccess;
  };
  api.device_memory = [](std::size_t* bytes, int) { return *bytes = 8ull << 30, kSuccess; };
  api.device_pci_bus_id = [](char* id, int, int) {
    return std::strcpy(id, "0000:3B:00.0"), kSuccess;
  };
  api.context_retain = [](void** context, int device) {
    static int contexts[2];
    return *context = &contexts[device], kSuccess;
  };
  api.context_set = [](void* context) { return script.current = context, kSuccess; };
  api.context_wait = [] { return script.wait; };
  api.memory_info = [](std::size_t* free, std::size_t* total) {
    return *free = 1 << 20, *total = 8ull << 30, kSuccess;
  };
  api.allocate = [](DevicePointer* p, std::size_t) { return *p = 0x1000, script.allocate; };
  api.release = [](DevicePointer) { return kSuccess; };
  api.set_bytes = [](DevicePointer, unsigned char, std::size_t, void*) { return kSuccess; };
  api.module_load = [](void** m, const void*) { return *m = &script, kSuccess; };
  api.module_function = [](void** f, void*, const char*) { return *f = &script, kSuccess; };
  api.function_set = [](void*, int, int bytes) {
    script.dynamic_bytes_set = static_cast<std::size_t>(bytes);
    return kSuccess;
  };
  api.launch = [](void*, unsigned x, unsigned y, unsigned z, unsigned, unsigned, unsigned, unsigned,
                  void*, void**, void**) {
    script.grid = {x, y, z};
    return script.launch;
  };
  api.event_create = [](void** e, unsigned) { return *e = &kEvents[script.events++], kSuccess; };
  api.event_record = [](void* e, void*) {
    script.calls.push_back("record " + event_name(e));
    return ++script.recorded, kSuccess;
  };
  api.event_wait = [](void* e) {
    return script.calls.push_back("wait " + event_name(e)), kSuccess;
  };
  api.event_elapsed = [](float* ms, void*, void*) { return *ms = script.elapsed_ms, kSuccess; };
  api.error_name = [](Result r, const char** text) {
    *text = r == kOutOfMemory ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_ILLEGAL_ADDRESS";
    return kSuccess;
  };
  api.error_text = [](Result, const char** text) { return *text = "as scripted", kSuccess; };
  return api;
}

class Driver : public testing::Test {
 protected:
  Driver() { script = Script{}; }
  const DriverApi api_ = fake_driver();
};

TEST_F(Driver, DescribesTheDevice) {
  const DeviceInfo about = DriverDevice(api_, 0).info();
  EXPECT_EQ(about.name, "Fake GPU");
  EXPECT_EQ(about.capability, 86);
  EXPECT_EQ(about.shared_bytes, 99u * 1024);
  EXPECT_EQ(about.driver, "13.0");
  EXPECT_FALSE(about.emulated);
}

TEST_F(Driver, NoMemoryIsUnavailableAndSaysForWhat) {
  DriverDevice device(api_, 0);
  script.allocate = kOutOfMemory;
  try {
    device.allocate(123, "dq");
    FAIL();
  } catch (const UnavailableError& e) {
    EXPECT_THAT(e.what(), HasSubstr("123 bytes for dq: CUDA_ERROR_OUT_OF_MEMORY (as scripted)"));
  }
}

TEST_F(Driver, AFaultOfAKernelCarriesCudasNameForIt) {
  DriverDevice device(api_, 0);
  script.wait = kIllegalAddress;
  try {
    device.wait();
    FAIL();
  } catch (const DeviceError& e) {
    EXPECT_STREQ(e.what(), "cuCtxSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS (as scripted)");
  }
}

TEST_F(Driver, ALaunchOptsIntoItsSharedMemoryAndNamesItselfInErrors) {
  if (kernels().empty()) GTEST_SKIP() << "built without the CUDA toolkit";
  DriverDevice device(api_, 0);
  Launch launch;
  launch.entry = "simt_f32_forward_d64";
  launch.grid_x = 7;
  launch.threads = 256;
  launch.dynamic_bytes = 60000;
  device.launch(launch, Attention{});
  EXPECT_EQ(script.grid, (std::vector<unsigned>{7, 1, 1}));
  EXPECT_EQ(script.dynamic_bytes_set, 60000u);
  script.launch = kIllegalAddress;
  try {
    device.launch(launch, Attention{});
    FAIL();
  } catch (const DeviceError& e) {
    EXPECT_THAT(e.what(), HasSubstr("simt_f32_forward_d64: CUDA_ERROR_ILLEGAL_ADDRESS"));
  }
}

TEST_F(Driver, ASeriesOfMarksIsTimedByEventsThatAreUsedAgain) {
  DriverDevice device(api_, 0);
  script.elapsed_ms = 0.5f;
  device.mark_first();
  for (int i = 0; i < 2; ++i) device.mark();
  EXPECT_THAT(device.intervals_s(), testing::ElementsAre(0.0005, 0.0005));
  device.mark_first();
  device.mark();
  EXPECT_EQ(device.intervals_s().size(), 1u) << "of the earlier series nothing is left";
  EXPECT_EQ(script.recorded, 5);
  EXPECT_EQ(script.events, 3);
}

TEST_F(Driver, WaitingForThePreviousWorkLeavesTheLastInTheQueue) {
  DriverDevice device(api_, 0);
  for (int i = 0; i < 3; ++i) device.wait_for_previous();
  EXPECT_THAT(script.calls, testing::ElementsAre("record a", "wait b",  // never recorded: at once
                                                 "record b", "wait a", "record a", "wait b"));
}

/// What the call throws, as Error; "" if it does not.
template <typename Error, typename Call>
std::string thrown(Call call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST_F(Driver, AnErrorThatEndsTheContextIsRemembered) {
  DriverDevice device(api_, 0);
  script.wait = kIllegalAddress;
  EXPECT_EQ(thrown<DeviceError>([&] { device.wait(); }),
            "cuCtxSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS (as scripted)");
  script.wait = kSuccess;
  const std::string lost =
      "Fake GPU is lost to an earlier error: cuCtxSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS (as "
      "scripted)";
  EXPECT_EQ(thrown<UnavailableError>([&] { device.allocate(1, "q"); }), lost);
  EXPECT_EQ(thrown<UnavailableError>([&] { device.mark_first(); }), lost);
  EXPECT_EQ(thrown<UnavailableError>([&] { device.free_bytes(); }), lost);
}

TEST_F(Driver, AnErrorThatTheContextSurvivesIsNot) {
  DriverDevice device(api_, 0);
  script.allocate = kOutOfMemory;
  EXPECT_NE(thrown<UnavailableError>([&] { device.allocate(1, "q"); }), "");
  script.allocate = 1;  // an invalid value: the next wait succeeds
  EXPECT_NE(thrown<DeviceError>([&] { device.allocate(1, "q"); }), "");
  script.allocate = kSuccess;
  EXPECT_EQ(device.allocate(1, "q"), 0x1000u);
}

TEST_F(Driver, EveryCallGoesToItsOwnDevice) {
  DriverDevice first(api_, 0);
  void* const of_first = script.current;
  DriverDevice second(api_, 1);
  void* const of_second = script.current;
  ASSERT_NE(of_first, of_second);
  first.mark_first();
  EXPECT_EQ(script.current, of_first);
  second.zero(0x1000, 1);
  EXPECT_EQ(script.current, of_second);
  first.release(0x1000);
  EXPECT_EQ(script.current, of_first);
}

TEST_F(Driver, WithoutCublasItSaysSoInOneLine) {
  DriverDevice device(api_, 0, [](std::string& absent) -> const CublasApi* {
    absent = "libcublas.so.13 was not found";
    return nullptr;
  });
  EXPECT_EQ(device.products_absent(), "libcublas.so.13 was not found");
  EXPECT_THROW(device.multiply(Gemm{}), UnavailableError);
}

TEST_F(Driver, CublasIsOpenedWithTheFirstProduct) {
  static int opened;
  opened = 0;
  static CublasApi cublas{};
  cublas.create = [](void**) { return ++opened, kCublasSuccess; };
  cublas.set_math_mode = [](void*, int) { return kCublasSuccess; };
  cublas.set_workspace = [](void*, void*, std::size_t) { return kCublasSuccess; };
  cublas.gemm = [](void*, int, int, int, int, int, const void*, const void*, int, int, long long,
                   const void*, int, int, long long, const void*, void*, int, int, long long, int,
                   int, int) { return kCublasSuccess; };
  DriverDevice device(api_, 0, [](std::string&) -> const CublasApi* { return &cublas; });
  EXPECT_EQ(device.products_absent(), std::nullopt);
  EXPECT_EQ(opened, 0);
  device.multiply(Gemm{});
  device.multiply(Gemm{});
  EXPECT_EQ(opened, 1);
}

TEST_F(Driver, AnUnknownKernelIsAnErrorOfTheProgram) {
  DriverDevice device(api_, 0);
  Launch launch;
  launch.entry = "no_such_kernel";
  EXPECT_THROW(device.launch(launch, Attention{}), DeviceError);
}

// The toolkit's stub fails every call, those for the names of errors as well.
TEST(ErrorLine, SaysWhatTheStubIsAndTheNumberOfWhatHasNoName) {
  DriverApi stub{};
  stub.error_name = [](Result, const char**) { return kStubLibrary; };
  stub.error_text = [](Result, const char**) { return kStubLibrary; };
  EXPECT_THAT(error_line(stub, "cuInit", kStubLibrary),
              HasSubstr("cuInit: CUDA_ERROR_STUB_LIBRARY (34): this is the toolkit's stub"));
  EXPECT_EQ(error_line(stub, "cuInit", 4711), "cuInit: CUDA error 4711 (no description)");
}

}  // namespace
}  // namespace flashbench::cuda
