#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

#include "tests/fat_binary.h"

// As <cuda_runtime_api.h> and nvcc declare them.
extern "C" {
struct Extent {
  unsigned x = 1, y = 1, z = 1;
};
struct LaunchAttribute {
  int id;
  char pad[4];
  union {
    char bytes[64];
    Extent cluster;
    int cooperative;
  } value;
};
struct LaunchConfig {
  Extent grid, block;
  std::size_t shared_bytes;
  void* stream;
  LaunchAttribute* attributes;
  unsigned count;
};
struct FunctionAttributes {
  std::size_t shared_bytes, constant_bytes, local_bytes;
  int max_threads, registers, ptx_version, binary_version, cache_mode, max_dynamic_shared_bytes,
      preferred_carveout, more[22];
};
struct PointerAttributes {
  int type, device;
  void *on_device, *on_host;
  long reserved[8];
};
void** __cudaRegisterFatBinary(void* image);
void __cudaRegisterFunction(void** module, const char* host, char* name, const char* device_name,
                            int thread_limit, void*, void*, void*, void*, int*);
unsigned __cudaPushCallConfiguration(Extent grid, Extent block, std::size_t shared_bytes,
                                     void* stream);
int __cudaPopCallConfiguration(Extent* grid, Extent* block, std::size_t* shared_bytes,
                               void* stream);
int cudaLaunchKernel(const void* function, Extent grid, Extent block, void** arguments,
                     std::size_t shared_bytes, void* stream);
int cudaLaunchKernelExC(const LaunchConfig* how, const void* function, void** arguments);
int cudaFuncGetAttributes(FunctionAttributes* attributes, const void* function);
int cudaDeviceGetAttribute(int* value, int attribute, int device);
int cudaMalloc(void** address, std::size_t bytes);
int cudaFree(void* address);
int cudaStreamCreate(void** stream);
int cudaStreamDestroy(void* stream);
int cudaMemsetAsync(void* to, int value, std::size_t bytes, void* stream);
int cudaMemcpy(void* to, const void* from, std::size_t bytes, int direction);
int cudaMemset(void* to, int value, std::size_t bytes);
int cudaPointerGetAttributes(PointerAttributes* attributes, const void* address);
int cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned version,
                                     unsigned long long flags, int* found);
int cudaDeviceSynchronize();
int cudaGetLastError();
const char* cudaGetErrorString(int error);
const char* flashbench_emulated_failure(int* lacks);
int cuTensorMapEncodeTiled(void* map, int type, unsigned rank, void* address,
                           const std::uint64_t* size, const std::uint64_t* stride,
                           const std::uint32_t* box, const std::uint32_t* steps, int interleave,
                           int swizzle, int, int fill);
int cuGetExportTable(const void** table, const void* id);
int cuModuleLoadData(void** module, const void* image);
}

namespace flashbench::emulated_runtime {
namespace {

using testing::ContainsRegex;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int kToDevice = 1, kToHost = 2, kGuessed = 4;
constexpr int kInvalidValue = 1, kInvalidDeviceFunction = 98, kInvalidPtx = 218,
              kInvalidHandle = 400, kLaunchFailed = 719, kNotSupported = 801;

/// to[i] = from + i.
constexpr const char* kCount = R"(.version 8.0
.target sm_80
.address_size 64
.visible .entry count(.param .u64 to, .param .u32 from)
{
.reg .b32 %r<3>;
.reg .b64 %rd<3>;
ld.param.u64 %rd0, [to];
ld.param.u32 %r0, [from];
mov.u32 %r1, %tid.x;
add.u32 %r0, %r0, %r1;
mul.wide.u32 %rd1, %r1, 4;
add.s64 %rd0, %rd0, %rd1;
st.global.u32 [%rd0], %r0;
ret;
}
)";

/// What nvcc makes of a kernel: a function of the host that stands for it, and its registration.
struct Program {
  explicit Program(const std::string& ptx) : image(fat_binary(fat_entry(kPtx, 80, ptx))) {
    wrapper.data = image.data();
    void** const module = __cudaRegisterFatBinary(&wrapper);
    __cudaRegisterFunction(module, &stub, nullptr, "count", -1, nullptr, nullptr, nullptr, nullptr,
                           nullptr);
  }
  std::string image;
  FatWrapper wrapper;
  char stub = 0;
};

struct Memory {
  explicit Memory(std::size_t bytes) { EXPECT_EQ(cudaMalloc(&address, bytes), 0); }
  ~Memory() { cudaFree(address); }
  void* address = nullptr;
};

int launch(const Program& program, const void* to, unsigned threads) {
  unsigned from = 7;
  std::array<void*, 2> arguments = {&to, &from};
  __cudaPushCallConfiguration({1, 1, 1}, {threads, 1, 1}, 0, nullptr);
  Extent grid, block;
  std::size_t shared_bytes = 1;
  void* stream = &shared_bytes;
  EXPECT_EQ(__cudaPopCallConfiguration(&grid, &block, &shared_bytes, &stream), 0);
  EXPECT_EQ(stream, nullptr);
  return cudaLaunchKernel(&program.stub, grid, block, arguments.data(), shared_bytes, stream);
}

/// What the driver tells the program of the last call: that something is not there.
std::string lacking() {
  int lacks = 0;
  const std::string why = flashbench_emulated_failure(&lacks);
  return lacks == 1 ? why : "it says nothing of that: " + why;
}

TEST(EmulatedRuntime, LaunchesAKernelThatAProgramHasRegistered) {
  const Program program(kCount);
  const Memory memory(16);
  ASSERT_EQ(launch(program, memory.address, 3), 0) << cudaGetErrorString(cudaGetLastError());
  EXPECT_EQ(cudaMemset(static_cast<char*>(memory.address) + 12, 0, 4), 0);
  std::array<int, 4> result{};
  EXPECT_EQ(cudaMemcpy(result.data(), memory.address, 16, kToHost), 0);
  EXPECT_THAT(result, ElementsAre(7, 8, 9, 0));
}

TEST(EmulatedRuntime, WhatNobodyHasRegisteredIsAnErrorThatIsToldOnce) {
  const char stranger = 0;
  EXPECT_EQ(cudaLaunchKernel(&stranger, {}, {}, nullptr, 0, nullptr), kInvalidDeviceFunction);
  EXPECT_EQ(cudaGetLastError(), kInvalidDeviceFunction);
  EXPECT_EQ(cudaGetLastError(), 0);
}

TEST(EmulatedRuntime, WhatCannotBeLoadedIsNamedByTheLaunch) {
  const Program program(".version 8.0\n.target sm_80\n.nonsense\n");
  EXPECT_EQ(launch(program, nullptr, 1), kInvalidPtx);
  EXPECT_THAT(cudaGetErrorString(kInvalidPtx), HasSubstr("PTX line 3"));
}

TEST(EmulatedRuntime, CopiesWhoseDirectionWouldBeGuessedAreRefused) {
  const Memory memory(4);
  int value = 1;
  EXPECT_EQ(cudaMemcpy(memory.address, &value, 4, kGuessed), kNotSupported);
  EXPECT_THAT(lacking(), HasSubstr("cudaMemcpyDefault"));
  EXPECT_EQ(cudaMemcpy(memory.address, &value, 4, kToDevice), 0);
}

TEST(EmulatedRuntime, WhatIsNoDirectionOrNoPlaceIsRefusedWithTheReason) {
  const Memory memory(4);
  int value = 1;
  EXPECT_EQ(cudaMemcpy(memory.address, &value, 4, 77), kInvalidValue);
  EXPECT_STREQ(cudaGetErrorString(kInvalidValue), "77 is no cudaMemcpyKind");
  EXPECT_EQ(cudaMalloc(nullptr, 4), kInvalidValue);
  EXPECT_THAT(cudaGetErrorString(kInvalidValue), HasSubstr("a null pointer"));
  EXPECT_STREQ(cudaGetErrorString(0), "no error");
}

TEST(EmulatedRuntime, WorkOnADestroyedStreamIsRefused) {
  const Memory memory(4);
  void* stream = nullptr;
  ASSERT_EQ(cudaStreamCreate(&stream), 0);
  EXPECT_EQ(cudaMemsetAsync(memory.address, 0, 4, stream), 0);
  EXPECT_EQ(cudaStreamDestroy(stream), 0);
  EXPECT_EQ(cudaMemsetAsync(memory.address, 0, 4, stream), kInvalidHandle);
  EXPECT_STREQ(cudaGetErrorString(kInvalidHandle), "a stream that has been destroyed");
}

TEST(EmulatedRuntime, ClustersOfSeveralBlocksAreRefused) {
  const Program program(kCount);
  const Memory memory(16);
  const void* to = memory.address;
  unsigned from = 0;
  std::array<void*, 2> arguments = {&to, &from};
  LaunchAttribute cluster{.id = 4, .pad = {}, .value = {.cluster = {2, 1, 1}}};
  LaunchConfig how{{2, 1, 1}, {1, 1, 1}, 0, nullptr, &cluster, 1};
  EXPECT_EQ(cudaLaunchKernelExC(&how, &program.stub, arguments.data()), kNotSupported);
  EXPECT_THAT(lacking(), HasSubstr("clusters of more than one block"));
  cluster.value.cluster.x = 1;
  how.grid.x = 1;
  EXPECT_EQ(cudaLaunchKernelExC(&how, &program.stub, arguments.data()), 0);
}

TEST(EmulatedRuntime, CooperativeLaunchesAreRefused) {
  const Program program(kCount);
  const Memory memory(16);
  const void* to = memory.address;
  unsigned from = 0;
  std::array<void*, 2> arguments = {&to, &from};
  LaunchAttribute cooperative{.id = 2, .pad = {}, .value = {.cooperative = 1}};
  const LaunchConfig how{{1, 1, 1}, {1, 1, 1}, 0, nullptr, &cooperative, 1};
  EXPECT_EQ(cudaLaunchKernelExC(&how, &program.stub, arguments.data()), kNotSupported);
  EXPECT_THAT(lacking(), HasSubstr("cooperative launches"));
  cooperative.value.cooperative = 0;
  EXPECT_EQ(cudaLaunchKernelExC(&how, &program.stub, arguments.data()), 0);
}

TEST(EmulatedRuntime, AnAttributeOfADeviceThatIsNotKnownIsNamed) {
  int value = 0;
  EXPECT_EQ(cudaDeviceGetAttribute(&value, 9999, 0), kInvalidValue);
  EXPECT_THAT(lacking(), HasSubstr("attribute 9999"));
  EXPECT_EQ(lacking(), "it says nothing of that: ") << "told once";
}

TEST(EmulatedRuntime, WhatFailsLaterIsNoLackOfTheDevice) {
  EXPECT_EQ(cudaFree(nullptr), 0);  // from here on there is a context
  int value = 0;
  cudaDeviceGetAttribute(&value, 9999, 0);
  void* module = nullptr;
  EXPECT_NE(cuModuleLoadData(&module, nullptr), 0);
  EXPECT_THAT(lacking(), HasSubstr("it says nothing of that: a module without an image"));
}

TEST(EmulatedRuntime, AttributesOfAFunctionAreWrittenWhole) {
  const Program program(kCount);
  FunctionAttributes a;
  std::memset(&a, 0xEE, sizeof a);
  EXPECT_EQ(cudaFuncGetAttributes(&a, &program.stub), 0);
  EXPECT_EQ(a.max_threads, 1024);
  EXPECT_EQ(a.cache_mode, 0);
  EXPECT_EQ(a.max_dynamic_shared_bytes, 48 << 10);
  EXPECT_EQ(a.preferred_carveout, -1);
  EXPECT_THAT(a.more, Each(0));
}

TEST(EmulatedRuntime, TensorMapsThatCannotBeAreRefusedAndNotCutOff) {
  alignas(64) std::array<char, 128> map{};
  std::array<std::uint64_t, 2> size = {64, 64};
  const std::array<std::uint64_t, 1> stride = {128};
  const std::array<std::uint32_t, 2> box = {64, 8}, steps = {1, 1};
  constexpr int kF16 = 6, k128 = 3;
  const auto encode = [&](const std::uint64_t* sizes, const std::uint32_t* step) {
    return cuTensorMapEncodeTiled(map.data(), kF16, 2, nullptr, sizes, stride.data(), box.data(),
                                  step, 0, k128, 0, 0);
  };
  EXPECT_EQ(encode(size.data(), steps.data()), 0);
  EXPECT_EQ(encode(nullptr, steps.data()), kInvalidValue);
  EXPECT_EQ(encode(size.data(), nullptr), kInvalidValue);
  size[1] += std::uint64_t{1} << 32;
  EXPECT_EQ(encode(size.data(), steps.data()), kInvalidValue);
}

TEST(EmulatedRuntime, AnAddressInsideOfAnAllocationIsTheDevices) {
  const Memory memory(16);
  PointerAttributes a{};
  EXPECT_EQ(cudaPointerGetAttributes(&a, static_cast<char*>(memory.address) + 15), 0);
  EXPECT_EQ(a.type, 2);
  EXPECT_EQ(cudaPointerGetAttributes(&a, static_cast<char*>(memory.address) + 16), 0);
  EXPECT_EQ(a.type, 0);
}

TEST(EmulatedRuntime, EntryPointsThatAreNotThereAreSaidNotToBe) {
  void* function = nullptr;
  int found = -1;
  EXPECT_EQ(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, 0, &found),
            0);
  EXPECT_NE(function, nullptr);
  EXPECT_EQ(found, 0);
  cudaGetLastError();
  EXPECT_EQ(cudaGetDriverEntryPointByVersion("cuGraphCreate", &function, 12000, 0, &found), 0);
  EXPECT_EQ(function, nullptr);
  EXPECT_EQ(found, 1);
  EXPECT_EQ(cudaGetLastError(), 0);
  EXPECT_THAT(lacking(), HasSubstr("cuGraphCreate is not there"));
}

// Those at the end: what they do stays in this process.

// A runtime of CUDA's asks once, and returns its error ever after.
TEST(EmulatedRuntimeLack, WhatCudasOwnRuntimeAsksForOnceIsToldUntilSomethingElseFails) {
  EXPECT_EQ(cudaFree(nullptr), 0);  // from here on there is a context
  const void* table = &table;
  EXPECT_EQ(cuGetExportTable(&table, nullptr), kNotSupported);
  EXPECT_EQ(table, nullptr);
  for (int time = 0; time < 3; ++time) EXPECT_THAT(lacking(), HasSubstr("nvcc -cudart shared"));
  void* module = nullptr;
  EXPECT_NE(cuModuleLoadData(&module, nullptr), 0);
  EXPECT_THAT(lacking(), HasSubstr("it says nothing of that: a module without an image"));
}

TEST(EmulatedRuntimeFault, AFindingIsToldByTheNextCall) {
  const Program program(kCount);
  const Memory memory(16);
  EXPECT_EQ(launch(program, memory.address, 8), 0);
  EXPECT_EQ(cudaDeviceSynchronize(), kLaunchFailed);
  EXPECT_THAT(cudaGetErrorString(kLaunchFailed),
              ContainsRegex("past the end of 'allocation [0-9]+ by cuMemAlloc' \\(16 bytes\\)"));
}

}  // namespace
}  // namespace flashbench::emulated_runtime
