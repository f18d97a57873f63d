// A CUDA driver that does as it is told: what a GPU would have to break to be seen otherwise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/error.h"
#include "cuda/driver_device.h"
#include "cuda/kernels.h"

#if __has_include(<cuda.h>)
#include <cuda.h>
#endif

namespace flashbench::cuda {
namespace {

using testing::HasSubstr;

#if __has_include(<cuda.h>)
// The table was written by hand: the toolkit's own header agrees with it.
static_assert(kSuccess == CUDA_SUCCESS && kOutOfMemory == CUDA_ERROR_OUT_OF_MEMORY);
static_assert(kMultiprocessorCount == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
static_assert(kL2CacheSize == CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
static_assert(kCapabilityMajor == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
static_assert(kCapabilityMinor == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
static_assert(kSharedBytesOptin == CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
static_assert(kMaxDynamicSharedBytes == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
static_assert(std::is_same_v<DevicePointer, CUdeviceptr>);
#endif

/// What the fake driver answers; one test runs at a time.
struct Script {
  Result launch = kSuccess, wait = kSuccess, allocate = kSuccess;
  std::size_t dynamic_bytes_set = 0;
  float elapsed_ms = 0;
  std::vector<unsigned> grid;
} script;

constexpr Result kIllegalAddress = 700;

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
  api.context_retain = [](void** context, int) { return *context = nullptr, kSuccess; };
  api.context_set = [](void*) { return kSuccess; };
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
  api.event_create = [](void** e, unsigned) { return *e = &script, kSuccess; };
  api.event_record = [](void*, void*) { return kSuccess; };
  api.event_wait = [](void*) { return kSuccess; };
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

TEST_F(Driver, TheClockAddsUpInDoublePrecision) {
  DriverDevice device(api_, 0);
  script.elapsed_ms = 10'000'000;
  const double hours_s = device.now_s();
  script.elapsed_ms = 0.001f;  // f32 milliseconds since the start would lose it
  EXPECT_NEAR(device.now_s() - hours_s, 1e-6, 1e-9);
}

TEST_F(Driver, AnUnknownKernelIsAnErrorOfTheProgram) {
  DriverDevice device(api_, 0);
  Launch launch;
  launch.entry = "no_such_kernel";
  EXPECT_THROW(device.launch(launch, Attention{}), DeviceError);
}

}  // namespace
}  // namespace flashbench::cuda
