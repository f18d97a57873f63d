#pragma once

#include <cstddef>
#include <cstdint>

#include "system/process.h"

namespace flashbench::guest {

enum class Access { kReadWrite, kReadOnly };

/// Memory without a name that processes can share by its descriptor.
class SharedMemory {
 public:
  SharedMemory() = default;
  /// New, zero. Throws OutOfMemoryError.
  explicit SharedMemory(std::size_t bytes);
  /// Another process's. Throws std::runtime_error where it has fewer bytes: to touch them would
  /// end this process.
  SharedMemory(process::Descriptor descriptor, std::size_t bytes, Access access);
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  std::byte* data() { return static_cast<std::byte*>(data_); }
  const std::byte* data() const { return static_cast<const std::byte*>(data_); }
  std::size_t bytes() const { return bytes_; }
  int descriptor() const { return descriptor_.get(); }

  /// From here on it keeps its size; where it is for others to read, nobody else can map it
  /// writable, and this process's mapping stays so.
  void seal(Access of_others);
  /// The memory stays mapped here, and where others have mapped it.
  void close() { descriptor_.reset(); }

 private:
  void map(Access access);

  process::Descriptor descriptor_;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Memory of this process whose last byte, but for what aligns it to 256, stands before a page that
/// nobody may touch: who writes beyond it is ended there, and who writes to what aligns it, or in
/// front of it within its first page, is found out by is_intact().
class GuardedMemory {
 public:
  GuardedMemory() = default;
  /// Filled with 0xFF: nobody may count on zeros. Throws OutOfMemoryError.
  explicit GuardedMemory(std::size_t bytes);
  GuardedMemory(GuardedMemory&& other) noexcept;
  GuardedMemory& operator=(GuardedMemory&& other) noexcept;
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;
  ~GuardedMemory();

  void* data() const { return data_; }  ///< null for 0 bytes
  /// Whether nothing was written around it.
  bool is_intact() const;

 private:
  void* mapped_ = nullptr;
  std::size_t mapped_bytes_ = 0;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;  ///< from data_ on
};

}  // namespace flashbench::guest
