// PTX: lexer, parser, and the decoder of every kernel that it holds; nothing is launched.
#include "ptx/device.h"
#include "ptx/text/ptx_error.h"
#include "system/error.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace flashbench;
  fuzz::expect_refusals<ptx::PtxError, DeviceError>([&] {
    ptx::Device device{ptx::DeviceOptions{}};
    const ptx::Module module = device.load(fuzz::text_of(data, size), "fuzzed");
    for (const std::string& name : device.kernels(module))
      fuzz::expect_refusals<ptx::PtxError, DeviceError>([&] { device.kernel(module, name); });
  });
  return 0;
}
