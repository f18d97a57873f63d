// Safetensors and npy: the header, and every byte of every tensor that it names.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "data/tensor_file.h"
#include "system/error.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const int file = ::memfd_create("input", MFD_CLOEXEC);
  if (file < 0 || ::write(file, data, size) != static_cast<ssize_t>(size)) return 0;
  flashbench::fuzz::expect_refusals<flashbench::UsageError>([&] {
    const flashbench::data::TensorFile tensors =
        flashbench::data::open_tensor_file("/proc/self/fd/" + std::to_string(file));
    for (const flashbench::data::StoredTensor& t : tensors.tensors()) {
      std::vector<std::byte> bytes(std::min<std::size_t>(t.bytes, size));
      tensors.read(t, t.bytes - bytes.size(), bytes);
    }
  });
  ::close(file);
  return 0;
}
