// The driver's calls, with what hardware would refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>

// As <cuda.h> declares them.
extern "C" {
int cuInit(unsigned flags);
int cuDeviceGet(int* device, int index);
int cuDevicePrimaryCtxRetain(void** context, int device);
int cuDevicePrimaryCtxRelease_v2(int device);
int cuCtxSetCurrent(void* context);
int cuCtxPopCurrent_v2(void** context);
int cuCtxSynchronize();
int cuMemAlloc_v2(unsigned long long* address, std::size_t bytes);
int cuMemFree_v2(unsigned long long address);
int cuMemcpyHtoD_v2(unsigned long long to, const void* from, std::size_t bytes);
int cuMemcpyDtoH_v2(void* to, unsigned long long from, std::size_t bytes);
int cuMemsetD8Async(unsigned long long to, unsigned char value, std::size_t bytes, void* stream);
int cuMemsetD32_v2(unsigned long long to, unsigned value, std::size_t count);
int cuModuleLoadData(void** module, const void* image);
int cuModuleUnload(void* module);
int cuModuleGetFunction(void** function, void* module, const char* name);
int cuFuncSetAttribute(void* function, int attribute, int value);
int cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                   void* stream, void** parameters, void** extra);
int cuStreamCreate(void** stream, unsigned flags);
int cuStreamDestroy_v2(void* stream);
int cuStreamSynchronize(void* stream);
int cuStreamWaitEvent(void* stream, void* event, unsigned flags);
int cuEventCreate(void** event, unsigned flags);
int cuEventDestroy_v2(void* event);
int cuEventRecord(void* event, void* stream);
int cuEventElapsedTime(float* milliseconds, void* start, void* end);
int cuGetErrorName(int error, const char** name);
int cuGetErrorString(int error, const char** text);
int flashbench_emulated_unjoined();
void flashbench_emulated_keep(unsigned long long address, const char* name);
}

namespace flashbench::emulated_driver {
namespace {

using testing::HasSubstr;

constexpr int kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kInvalidDevice = 101,
              kInvalidContext = 201, kInvalidHandle = 400, kContextIsDestroyed = 709,
              kLaunchFailed = 719;
constexpr unsigned kNonBlocking = 1;

/// *to = value; 16 bytes of shared memory.
constexpr const char* kStore = R"(.version 8.0
.target sm_80
.address_size 64
.visible .entry store(.param .u32 value, .param .u64 to)
{
.shared .align 16 .b8 tile[16];
.reg .b32 %r<2>;
.reg .b64 %rd<2>;
ld.param.u64 %rd0, [to];
ld.param.u32 %r0, [value];
st.global.u32 [%rd0], %r0;
ret;
}
)";

std::string text_of(int error) {
  const char* text = nullptr;
  EXPECT_EQ(cuGetErrorString(error, &text), kSuccess);
  return text;
}

void* handle(std::uintptr_t number) { return reinterpret_cast<void*>(number); }

class Calls : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(cuInit(0), kSuccess);
    void* context = nullptr;
    ASSERT_EQ(cuDevicePrimaryCtxRetain(&context, 0), kSuccess);
    ASSERT_EQ(cuCtxSetCurrent(context), kSuccess);
    ASSERT_EQ(cuMemAlloc_v2(&memory, 64), kSuccess);
    ASSERT_EQ(cuModuleLoadData(&module, kStore), kSuccess);
    ASSERT_EQ(cuModuleGetFunction(&store, module, "store"), kSuccess);
  }
  void TearDown() override { cuMemFree_v2(memory); }

  int launch(void* function, void* stream) {
    std::array<void*, 2> parameters = {&value, &memory};
    return cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, parameters.data(), nullptr);
  }
  int launch_from_buffer(const void* buffer, std::size_t bytes) {
    std::array<void*, 5> extra = {handle(1), const_cast<void*>(buffer), handle(2), &bytes, nullptr};
    return cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra.data());
  }
  unsigned stored() {
    unsigned found = 0;
    EXPECT_EQ(cuMemcpyDtoH_v2(&found, memory, 4), kSuccess);
    return found;
  }

  unsigned value = 7;
  unsigned long long memory = 0;
  void *module = nullptr, *store = nullptr;
};

TEST_F(Calls, AStreamThatIsNoneIsRefused) {
  for (std::uintptr_t known = 0; known <= 2; ++known)
    EXPECT_EQ(launch(store, handle(known)), kSuccess);
  EXPECT_EQ(launch(store, handle(0x1234567)), kInvalidHandle);
  EXPECT_EQ(text_of(kInvalidHandle), "0x1234567 is no stream");
  EXPECT_EQ(cuMemsetD8Async(memory, 0, 4, handle(0x1234567)), kInvalidHandle);
  EXPECT_EQ(cuStreamSynchronize(handle(0x1234567)), kInvalidHandle);
}

TEST_F(Calls, ADestroyedStreamIsRefused) {
  void* stream = nullptr;
  ASSERT_EQ(cuStreamCreate(&stream, 0), kSuccess);
  EXPECT_EQ(launch(store, stream), kSuccess);
  EXPECT_EQ(cuStreamDestroy_v2(stream), kSuccess);
  void* another = nullptr;
  ASSERT_EQ(cuStreamCreate(&another, 0), kSuccess);
  EXPECT_EQ(launch(store, stream), kInvalidHandle);
  EXPECT_EQ(cuStreamDestroy_v2(stream), kInvalidHandle);
  EXPECT_EQ(text_of(kInvalidHandle), "a stream that has been destroyed");
  EXPECT_EQ(cuStreamDestroy_v2(nullptr), kInvalidHandle);
}

TEST_F(Calls, AnUnloadedModuleTakesItsFunctionsWithIt) {
  EXPECT_EQ(launch(store, nullptr), kSuccess);
  EXPECT_EQ(cuModuleUnload(module), kSuccess);
  EXPECT_EQ(launch(store, nullptr), kInvalidHandle);
  EXPECT_EQ(text_of(kInvalidHandle), "a function that belongs to a module that has been unloaded");
  EXPECT_EQ(cuModuleGetFunction(&store, module, "store"), kInvalidHandle);
  EXPECT_EQ(cuModuleUnload(module), kInvalidHandle);
  EXPECT_EQ(text_of(kInvalidHandle), "a module that has been unloaded");
}

TEST_F(Calls, EventsThatAreNoneAreRefused) {
  void* event = nullptr;
  float milliseconds = 0;
  ASSERT_EQ(cuEventCreate(&event, 0), kSuccess);
  EXPECT_EQ(cuEventElapsedTime(&milliseconds, event, event), kInvalidHandle);
  EXPECT_EQ(text_of(kInvalidHandle), "an event that was never recorded");
  EXPECT_EQ(cuEventDestroy_v2(event), kSuccess);
  for (void* wrong : {event, handle(0x1234), handle(0)}) {
    EXPECT_EQ(cuEventRecord(wrong, nullptr), kInvalidHandle);
    EXPECT_EQ(cuEventDestroy_v2(wrong), kInvalidHandle);
  }
  EXPECT_EQ(text_of(kInvalidHandle), "a null pointer is no event");
}

TEST_F(Calls, SharedMemoryBeyondTheDevicesIsRefusedWhenItIsAskedFor) {
  constexpr int kDynamicBytes = 8, kMost = (227 << 10) - 16;
  for (const int wrong : {-1, kMost + 1, 300000, 1 << 30}) {
    EXPECT_EQ(cuFuncSetAttribute(store, kDynamicBytes, wrong), kInvalidValue);
    EXPECT_THAT(text_of(kInvalidValue), HasSubstr("bytes of dynamic shared memory for store"));
  }
  EXPECT_EQ(cuFuncSetAttribute(store, kDynamicBytes, kMost), kSuccess);
}

TEST_F(Calls, ParametersMayComeInABuffer) {
  struct Buffer {
    unsigned value;
    unsigned long long to;
  };
  const Buffer buffer{9, memory};
  ASSERT_EQ(launch_from_buffer(&buffer, sizeof buffer), kSuccess) << text_of(kInvalidValue);
  EXPECT_EQ(stored(), 9u);
  EXPECT_EQ(launch_from_buffer(&buffer, 8), kInvalidValue);
  EXPECT_THAT(text_of(kInvalidValue), HasSubstr("a buffer of 8 bytes, beyond which to goes"));
  EXPECT_EQ(launch_from_buffer(nullptr, sizeof buffer), kInvalidValue);
  std::array<void*, 1> end = {nullptr};
  std::array<void*, 2> both = {&value, &memory};
  EXPECT_EQ(cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, nullptr, both.data(), end.data()),
            kInvalidValue);
}

TEST_F(Calls, NullPointersAreAnswered) {
  std::array<void*, 2> parameters = {&value, nullptr};
  EXPECT_EQ(cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, nullptr, parameters.data(), nullptr),
            kInvalidValue);
  EXPECT_EQ(text_of(kInvalidValue), "a null pointer for to of store");
  EXPECT_EQ(launch(nullptr, nullptr), kInvalidHandle);
  EXPECT_EQ(cuModuleGetFunction(&store, module, nullptr), kInvalidValue);
  EXPECT_EQ(cuModuleGetFunction(nullptr, module, "store"), kInvalidValue);
  EXPECT_EQ(cuMemAlloc_v2(nullptr, 4), kInvalidValue);
  EXPECT_EQ(cuDeviceGet(nullptr, 0), kInvalidValue);
  EXPECT_EQ(cuGetErrorString(kInvalidValue, nullptr), kInvalidValue);
  EXPECT_EQ(cuGetErrorName(kInvalidValue, nullptr), kInvalidValue);
}

TEST_F(Calls, TheHostsEndOfACopyIsNoneOfTheDevice) {
  EXPECT_EQ(cuMemcpyHtoD_v2(memory, nullptr, 4), kInvalidValue);
  EXPECT_THAT(text_of(kInvalidValue), HasSubstr("a null pointer"));
  EXPECT_EQ(cuMemcpyDtoH_v2(handle(memory), memory, 4), kInvalidValue);
  EXPECT_THAT(text_of(kInvalidValue),
              HasSubstr("the host's end of a copy is device memory: byte 0 of 'allocation"));
}

TEST_F(Calls, WordsAreSetAtMultiplesOfFour) {
  EXPECT_EQ(cuMemsetD32_v2(memory + 1, 5, 1), kInvalidValue);
  EXPECT_THAT(text_of(kInvalidValue), HasSubstr("which is no multiple of 4"));
  EXPECT_EQ(cuMemsetD32_v2(memory, 5, 16), kSuccess);
  EXPECT_EQ(stored(), 5u);
}

TEST_F(Calls, WhatIsRefusedSaysWhy) {
  unsigned long long own = 0;
  ASSERT_EQ(cuMemAlloc_v2(&own, 64), kSuccess);
  EXPECT_EQ(cuMemFree_v2(own + 8), kInvalidValue);
  EXPECT_THAT(text_of(kInvalidValue), HasSubstr("free of byte 8 of 'allocation"));
  EXPECT_EQ(cuMemFree_v2(own), kSuccess);
  EXPECT_EQ(cuMemFree_v2(own), kInvalidValue);
  EXPECT_THAT(text_of(kInvalidValue), HasSubstr("which has been freed"));
  EXPECT_EQ(cuMemFree_v2(reinterpret_cast<std::uintptr_t>(&own)), kInvalidValue);
  EXPECT_THAT(text_of(kInvalidValue), HasSubstr("near no allocation"));
  EXPECT_EQ(cuMemAlloc_v2(&own, std::size_t{1} << 60), kOutOfMemory);
  EXPECT_THAT(text_of(kOutOfMemory), HasSubstr("1152921504606846976 bytes are asked for"));
  int device = 0;
  EXPECT_EQ(cuDeviceGet(&device, 1), kInvalidDevice);
  EXPECT_EQ(text_of(kInvalidDevice), "there is no device 1; there are 1");
  EXPECT_EQ(cuCtxPopCurrent_v2(nullptr), kInvalidContext);
  EXPECT_THAT(text_of(kInvalidContext), HasSubstr("more often than they were pushed"));
  EXPECT_EQ(cuCtxSetCurrent(&own), kInvalidContext);
  EXPECT_EQ(text_of(kSuccess), "no error");
}

TEST_F(Calls, WorkOnANonBlockingStreamHasToBeWaitedFor) {
  void *aside = nullptr, *event = nullptr, *third = nullptr, *blocking = nullptr;
  ASSERT_EQ(cuStreamCreate(&aside, kNonBlocking), kSuccess);
  ASSERT_EQ(cuStreamCreate(&third, kNonBlocking), kSuccess);
  ASSERT_EQ(cuStreamCreate(&blocking, 0), kSuccess);
  ASSERT_EQ(cuEventCreate(&event, 0), kSuccess);
  flashbench_emulated_unjoined();
  const auto work = [&](void* stream) { EXPECT_EQ(launch(store, stream), kSuccess); };
  const auto join_into = [&](void* other) {
    EXPECT_EQ(cuEventRecord(event, aside), kSuccess);
    EXPECT_EQ(cuStreamWaitEvent(other, event, 0), kSuccess);
  };
  work(aside);
  EXPECT_EQ(flashbench_emulated_unjoined(), 1);
  EXPECT_EQ(flashbench_emulated_unjoined(), 0) << "told once";
  work(aside);
  join_into(nullptr);
  EXPECT_EQ(flashbench_emulated_unjoined(), 0);
  work(aside);
  join_into(nullptr);
  work(aside);
  EXPECT_EQ(flashbench_emulated_unjoined(), 1) << "what came behind the event";
  work(aside);
  join_into(third);
  EXPECT_EQ(flashbench_emulated_unjoined(), 1) << "whom nobody waits for either";
  work(aside);
  EXPECT_EQ(cuStreamSynchronize(aside), kSuccess);
  work(aside);
  EXPECT_EQ(cuCtxSynchronize(), kSuccess);
  work(blocking);
  EXPECT_EQ(flashbench_emulated_unjoined(), 0);
  work(aside);
  EXPECT_EQ(cuStreamDestroy_v2(aside), kSuccess);
  EXPECT_EQ(flashbench_emulated_unjoined(), 1) << "destroyed, and at work still";
}

// Those at the end: what they do stays in this process.

TEST_F(Calls, ThePrimaryContextGoesWithItsLastRelease) {
  while (cuDevicePrimaryCtxRelease_v2(0) == kSuccess) {
  }
  EXPECT_THAT(text_of(kInvalidContext), HasSubstr("released more often than retained"));
  EXPECT_EQ(launch(store, nullptr), kContextIsDestroyed);
  void* context = nullptr;
  EXPECT_EQ(cuDevicePrimaryCtxRetain(&context, 0), kSuccess);
  EXPECT_EQ(cuMemAlloc_v2(&memory, 4), kSuccess);
}

TEST_F(Calls, MemoryOfTheProgramIsNotAPlugInsToFree) {
  flashbench_emulated_keep(memory, "o");
  flashbench_emulated_keep(memory, nullptr);
  EXPECT_EQ(cuMemFree_v2(memory), kSuccess);
  ASSERT_EQ(cuMemAlloc_v2(&memory, 64), kSuccess);
  flashbench_emulated_keep(memory, "o");
  EXPECT_EQ(cuMemFree_v2(memory), kLaunchFailed);
  EXPECT_THAT(text_of(kLaunchFailed), HasSubstr("it frees 'o'"));
  EXPECT_EQ(cuCtxSynchronize(), kLaunchFailed);
}

}  // namespace
}  // namespace flashbench::emulated_driver
