#pragma once

#include <cstdint>
#include <string>

// Fat binaries as nvcc 13 lays them out.
namespace flashbench {

template <typename T>
void append(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

constexpr int kPtx = 1, kMachineCode = 2;
constexpr std::uint64_t kPlain = 0x11, kLz4 = 0x2011, kZstd = 0x8011;

/// A piece of code, padded to 8 bytes. `whole_bytes`: of what is compressed, before it was.
inline std::string fat_entry(int kind, std::uint32_t capability, std::string code,
                             std::uint64_t flags = kPlain, std::uint64_t whole_bytes = 0) {
  const auto compressed = flags == kPlain ? std::size_t{0} : code.size();
  code.resize((code.size() + 8) / 8 * 8);
  std::string all;
  append(all, static_cast<std::uint16_t>(kind));
  append(all, std::uint16_t{0x101});
  append(all, std::uint32_t{64});
  append(all, std::uint64_t{code.size()});
  append(all, static_cast<std::uint32_t>(compressed));
  append(all, std::uint32_t{0});
  append(all, std::uint32_t{9});
  append(all, capability);
  append(all, std::uint64_t{0});
  append(all, flags);
  append(all, std::uint64_t{0});
  append(all, whole_bytes);
  return all + code;
}

inline std::string fat_binary(const std::string& entries) {
  std::string all;
  append(all, std::uint32_t{0xBA55ED50});
  append(all, std::uint16_t{1});
  append(all, std::uint16_t{16});
  append(all, std::uint64_t{entries.size()});
  return all + entries;
}

/// What programs register with the CUDA runtime.
struct FatWrapper {
  std::uint32_t magic = 0x466243B1, version = 1;
  const void* data = nullptr;
  const void* file = nullptr;
};

}  // namespace flashbench
