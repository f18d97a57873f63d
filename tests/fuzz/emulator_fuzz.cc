// PTX that somebody else has written, executed: all that it can touch is the emulated device's
// memory, and it ends.
#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "ptx/device.h"
#include "ptx/machine/tensor_map.h"
#include "ptx/text/ptx_error.h"
#include "system/error.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace flashbench;

constexpr std::size_t kMostBytes = 4096, kMostParameters = 8;
constexpr std::array<std::uint64_t, 1> kStride = {128};
constexpr std::array<std::uint32_t, 2> kSize = {32, 16};
constexpr std::array<std::uint16_t, 2> kBox = {16, 8};

/// Addresses for what is as wide as one, tensor maps for what is as wide as those, else a small
/// number.
std::vector<std::vector<std::byte>> arguments(ptx::Device& device, const ptx::KernelInfo& kernel) {
  std::vector<std::vector<std::byte>> all;
  for (const ptx::ParameterInfo& p : kernel.parameters) {
    std::vector<std::byte>& bytes = all.emplace_back(p.bytes, std::byte{0});
    if (bytes.size() < 8) {
      bytes.front() = std::byte{32};
      continue;
    }
    const ptx::Address memory = device.alloc(kMostBytes, p.name);
    device.fill(memory, std::byte{1}, kMostBytes / 2);
    if (bytes.size() == sizeof(ptx::TensorMap)) {
      const ptx::TensorMap map =
          ptx::encode_tensor_map(memory, 4, kSize, kStride, kBox, ptx::Swizzle::k64);
      std::ranges::copy(std::as_bytes(std::span(&map, 1)), bytes.begin());
    } else {
      std::ranges::copy(std::as_bytes(std::span(&memory, 1)), bytes.begin());
    }
  }
  return all;
}

void launch(ptx::Device& device, const ptx::Module& module, const std::string& name) {
  const ptx::KernelInfo kernel = device.kernel(module, name);
  if (kernel.parameters.size() > kMostParameters) return;
  const auto given = arguments(device, kernel);
  const std::vector<std::span<const std::byte>> spans(given.begin(), given.end());
  for (const ptx::Dim3 block : {ptx::Dim3{128}, ptx::Dim3{33}})
    for (const ptx::Finding& f : device.launch(module, name, {2}, block, 2048, spans).findings)
      f.text();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::expect_refusals<ptx::PtxError, DeviceError>([&] {
    ptx::Device device({.dynamic_shared = ptx::DynamicShared::kAsOnGpus, .slice_instructions = 50});
    device.set_max_warp_instructions(500);
    const ptx::Module module = device.load(fuzz::text_of(data, size), "fuzzed");
    for (const std::string& name : device.kernels(module))
      fuzz::expect_refusals<ptx::PtxError, DeviceError>([&] { launch(device, module, name); });
  });
  return 0;
}
