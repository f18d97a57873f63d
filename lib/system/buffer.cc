#include "system/buffer.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstdlib>

#include "system/error.h"

namespace flashbench {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

}  // namespace

Buffer::Buffer(std::size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : kCacheLine;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  if (rounded >= bytes) data_ = std::aligned_alloc(alignment, rounded);
  if (data_ == nullptr) throw OutOfMemoryError(fmt::format("cannot allocate {} bytes", bytes));
  if (alignment == kHugePage) madvise(data_, rounded, MADV_HUGEPAGE);  // a wish; refusal is fine
}

Buffer::~Buffer() { std::free(data_); }

}  // namespace flashbench
