#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace flashbench::cuda {

/// Opcodes of machine code from 7.5 on: nine bits, which do not tell the forms of operands apart.
/// Read off the output of NVIDIA's disassembler; tests/cuda/sass_test.cc counts known code.
enum class Opcode : std::uint16_t {
  kFfma = 0x023,
  kHmma = 0x03c,     ///< mma.sync
  kHgmma = 0x1f0,    ///< wgmma
  kLdsm = 0x03b,     ///< ldmatrix
  kLdgsts = 0x1ae,   ///< cp.async
  kUtmaldg = 0x1b4,  ///< cp.async.bulk.tensor to shared memory
  kLdl = 0x183,      ///< local memory: what was spilled, or is indexed
  kStl = 0x187,
};

/// The machine code that ptxas made for one architecture, as counts: no disassembler is needed.
class Cubin {
 public:
  /// Of a file "<image>.sm_<architecture>.cubin". Throws std::runtime_error.
  explicit Cubin(const std::filesystem::path& path) {
    const std::string stem = path.stem().string();
    const std::size_t dot = stem.rfind(".sm_");
    if (dot == stem.npos) throw std::runtime_error(path.string() + " names no architecture");
    image_ = stem.substr(0, dot);
    arch_ = stem.substr(dot + 4);
    std::ifstream in(path, std::ios::binary);
    elf_.assign(std::istreambuf_iterator<char>(in), {});
    if (elf_.compare(0, 6,
                     std::string_view("\x7f"
                                      "ELF\x02\x01")) != 0)
      throw std::runtime_error(path.string() + " is no 64-bit ELF file");
    read_sections();
  }

  const std::string& image() const { return image_; }
  const std::string& arch() const { return arch_; }  ///< "80", "90a"
  int capability() const { return std::stoi(arch_); }
  bool has_line_info() const { return has_line_info_; }
  std::vector<std::string> kernels() const {
    std::vector<std::string> names;
    for (const auto& [name, counts] : kernels_) names.push_back(name);
    return names;
  }
  bool has(const std::string& kernel) const { return kernels_.count(kernel) != 0; }
  int count(const std::string& kernel, Opcode opcode) const {
    const auto& counts = kernels_.at(kernel);
    const auto found = counts.find(static_cast<std::uint16_t>(opcode));
    return found == counts.end() ? 0 : found->second;
  }

 private:
  template <typename T>
  T at(std::size_t offset) const {
    if (offset + sizeof(T) > elf_.size()) throw std::runtime_error(image_ + ": a cut ELF file");
    T value;
    std::memcpy(&value, elf_.data() + offset, sizeof value);
    return value;
  }

  void read_sections() {
    const auto table = at<std::uint64_t>(0x28);
    const auto size = at<std::uint16_t>(0x3a), count = at<std::uint16_t>(0x3c),
               names = at<std::uint16_t>(0x3e);
    const auto strings = at<std::uint64_t>(table + std::uint64_t{names} * size + 0x18);
    for (std::uint64_t header = table; header < table + std::uint64_t{count} * size;
         header += size) {
      const std::string name = elf_.c_str() + strings + at<std::uint32_t>(header);
      if (name == ".nv_debug_line_sass") has_line_info_ = true;
      if (!name.starts_with(".text.")) continue;
      const auto from = at<std::uint64_t>(header + 0x18), bytes = at<std::uint64_t>(header + 0x20);
      auto& counts = kernels_[name.substr(6)];
      for (std::uint64_t i = from; i < from + bytes; i += 16)
        ++counts[static_cast<std::uint16_t>(at<std::uint16_t>(i) & 0x1ff)];
    }
  }

  std::string image_, arch_, elf_;
  bool has_line_info_ = false;
  std::map<std::string, std::map<std::uint16_t, int>> kernels_;
};

}  // namespace flashbench::cuda
