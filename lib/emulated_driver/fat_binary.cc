#include "emulated_driver/fat_binary.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdint>
#include <cstring>

namespace flashbench::emulated_driver {
namespace {

constexpr std::uint32_t kMagic = 0xBA55ED50, kWrapperMagic = 0x466243B1;

/// As a CUDA program hands it over (fatbinary_section.h).
struct Wrapper {
  std::uint32_t magic, version;
  const void* data;
  const void* file;
};

struct Header {
  std::uint32_t magic;
  std::uint16_t version, header_bytes;
  std::uint64_t bytes;  ///< behind the header
};

/// Before each piece of code.
struct Entry {
  std::uint16_t kind, version;
  std::uint32_t header_bytes;
  std::uint64_t bytes;  ///< of the code, with what fills it up
  std::uint32_t compressed_bytes, options;
  std::uint16_t minor, major;
  std::uint32_t capability;
  std::uint32_t name, name_bytes;
  std::uint64_t flags, reserved, whole_bytes;
};
constexpr std::uint16_t kPtx = 1;
constexpr std::uint64_t kCompressedLz4 = 0x2000, kCompressedZstd = 0x8000;
constexpr std::uint64_t kMostPtxBytes = std::uint64_t{256} << 20;

[[noreturn]] void malformed(const char* what) {
  throw FatBinaryError(fmt::format("it is a malformed fat binary: {}", what));
}

template <typename T>
T read(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

std::uint32_t magic_of(const void* image) {
  return read<std::uint32_t>(static_cast<const std::byte*>(image));
}

/// Throws FatBinaryError unless header and code lie in the `remaining` bytes from there on.
Entry entry_at(const std::byte* at, std::uint64_t remaining) {
  const auto entry = read<Entry>(at);
  if (entry.header_bytes < sizeof(Entry) || entry.header_bytes > remaining)
    malformed("the header of a part has no size that can be");
  if (entry.bytes > remaining - entry.header_bytes) malformed("a part is longer than the whole");
  if (entry.compressed_bytes > entry.bytes) malformed("what is compressed is longer than its part");
  return entry;
}

/// The magic number comes first in each of the two.
const std::byte* fat_binary_of(const void* image) {
  const void* const data =
      magic_of(image) == kWrapperMagic ? static_cast<const Wrapper*>(image)->data : image;
  if (data == nullptr) malformed("its wrapper is empty");
  if (magic_of(data) != kMagic) malformed("its wrapper holds something else");
  return static_cast<const std::byte*>(data);
}

std::string unpacked(const std::byte* code, const Entry& entry) {
  constexpr const char* kInstead = "compile with nvcc --no-compress";
  if ((entry.flags & kCompressedLz4) != 0)
    throw FatBinaryError(
        fmt::format("its PTX is compressed by LZ4, which is not read here; {}", kInstead));
  using Decompress = std::size_t (*)(void*, std::size_t, const void*, std::size_t);
  void* const library = ::dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL);
  const auto decompress = library == nullptr
                              ? nullptr
                              : reinterpret_cast<Decompress>(::dlsym(library, "ZSTD_decompress"));
  if (decompress == nullptr)
    throw FatBinaryError(
        fmt::format("its PTX is compressed, and there is no libzstd.so.1 here; {}", kInstead));
  if (entry.whole_bytes > kMostPtxBytes) malformed("its PTX would be beyond 256 MiB");
  std::string text(entry.whole_bytes, '\0');
  if (decompress(text.data(), text.size(), code, entry.compressed_bytes) != text.size())
    throw FatBinaryError(fmt::format("its PTX cannot be decompressed; {}", kInstead));
  return text;
}

std::string text_of(const std::byte* code, const Entry& entry) {
  const bool compressed = (entry.flags & (kCompressedLz4 | kCompressedZstd)) != 0;
  std::string text = compressed ? unpacked(code, entry)
                                : std::string(reinterpret_cast<const char*>(code), entry.bytes);
  return text.substr(0, text.find('\0'));
}

}  // namespace

bool is_fat_binary(const void* image) {
  const std::uint32_t magic = magic_of(image);
  return magic == kMagic || magic == kWrapperMagic;
}

std::string ptx_in(const void* image, int capability) {
  const std::byte* at = fat_binary_of(image);
  const auto header = read<Header>(at);
  if (header.header_bytes < sizeof(Header)) malformed("its header has no size that can be");
  at += header.header_bytes;
  std::uint64_t remaining = header.bytes;
  const std::byte* best = nullptr;
  Entry best_entry{};
  std::uint32_t others = 0;
  while (remaining >= sizeof(Entry)) {
    const Entry entry = entry_at(at, remaining);
    const bool fits = entry.kind == kPtx && entry.capability <= static_cast<unsigned>(capability);
    if (fits && entry.capability >= best_entry.capability) {
      best = at + entry.header_bytes;
      best_entry = entry;
    }
    if (!fits) ++others;
    at += entry.header_bytes + entry.bytes;
    remaining -= entry.header_bytes + entry.bytes;
  }
  if (best == nullptr)
    throw FatBinaryError(fmt::format(
        "it has no PTX for compute capability {}.{} or an older one (of {} other parts); compile "
        "with nvcc -arch=compute_{}",
        capability / 10, capability % 10, others, capability));
  return text_of(best, best_entry);
}

}  // namespace flashbench::emulated_driver
