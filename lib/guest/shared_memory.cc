#include "guest/shared_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "system/error.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010  // Linux 5.1
#endif

namespace flashbench::guest {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr int kAround = 0xB7;  // no zeros, no NaN of ours: what a kernel hardly writes
constexpr std::size_t kMostBytes = std::size_t{1} << 46;  // of what a process may map

[[noreturn]] void refuse(std::size_t bytes) {
  throw OutOfMemoryError(
      fmt::format("{} bytes to share with a guest: {}", bytes, std::strerror(errno)));
}

std::size_t rounded_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

}  // namespace

SharedMemory::SharedMemory(std::size_t bytes)
    : descriptor_(::memfd_create("tensors", MFD_CLOEXEC | MFD_ALLOW_SEALING),
                  "memory to share with a guest"),
      bytes_(bytes) {
  if (bytes_ != 0 && ::ftruncate(descriptor_.get(), static_cast<off_t>(bytes_)) != 0)
    refuse(bytes_);
  map(Access::kReadWrite);
}

SharedMemory::SharedMemory(process::Descriptor descriptor, std::size_t bytes, Access access)
    : descriptor_(std::move(descriptor)), bytes_(bytes) {
  struct stat info {};
  if (::fstat(descriptor_.get(), &info) != 0 || std::cmp_less(info.st_size, bytes))
    throw std::runtime_error(
        fmt::format("memory to share has {} bytes, not {}", info.st_size, bytes));
  map(access);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : descriptor_(std::move(other.descriptor_)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

void SharedMemory::map(Access access) {
  if (bytes_ == 0) return;
  const int protection = access == Access::kReadOnly ? PROT_READ : PROT_READ | PROT_WRITE;
  void* mapped = ::mmap(nullptr, bytes_, protection, MAP_SHARED, descriptor_.get(), 0);
  if (mapped == MAP_FAILED) refuse(bytes_);
  data_ = mapped;
}

void SharedMemory::seal(Access of_others) {
  ::fcntl(descriptor_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
  // An older kernel has no such seal; workers map their inputs without write permission anyway.
  if (of_others == Access::kReadOnly) ::fcntl(descriptor_.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
}

GuardedMemory::GuardedMemory(std::size_t bytes) {
  if (bytes == 0) return;
  if (bytes > kMostBytes) throw OutOfMemoryError(fmt::format("{} bytes of workspace", bytes));
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t used = rounded_up(bytes, kAlignment), whole = rounded_up(used, page);
  void* mapped =
      ::mmap(nullptr, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) refuse(bytes);
  mapped_ = mapped;
  mapped_bytes_ = whole + page;
  if (::mprotect(static_cast<std::byte*>(mapped) + whole, page, PROT_NONE) != 0) refuse(bytes);
  ::madvise(mapped, whole, MADV_HUGEPAGE);
  std::byte* const data = static_cast<std::byte*>(mapped) + (whole - used);
  std::memset(mapped, kAround, whole - used);
  std::memset(data, 0xFF, bytes);
  std::memset(data + bytes, kAround, used - bytes);
  data_ = data;
  bytes_ = bytes;
}

bool GuardedMemory::is_intact() const {
  const auto* begin = static_cast<const std::byte*>(mapped_);
  const auto* data = static_cast<const std::byte*>(data_);
  const auto is_around = [](std::byte b) { return b == std::byte{kAround}; };
  const std::size_t used = rounded_up(bytes_, kAlignment);
  return std::all_of(begin, data, is_around) && std::all_of(data + bytes_, data + used, is_around);
}

GuardedMemory::GuardedMemory(GuardedMemory&& other) noexcept
    : mapped_(std::exchange(other.mapped_, nullptr)),
      mapped_bytes_(std::exchange(other.mapped_bytes_, 0)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

GuardedMemory& GuardedMemory::operator=(GuardedMemory&& other) noexcept {
  std::swap(mapped_, other.mapped_);
  std::swap(mapped_bytes_, other.mapped_bytes_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

GuardedMemory::~GuardedMemory() {
  if (mapped_ != nullptr) ::munmap(mapped_, mapped_bytes_);
}

}  // namespace flashbench::guest
