#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace flashbench::cuda {

/// Opcodes of machine code from 7.5 on: nine bits, which do not tell the forms of operands apart.
/// Read off the output of NVIDIA's disassembler; tests/cuda/sass_test.cc counts known code.
enum class Opcode : std::uint16_t {
  kFadd = 0x021,
  kFfma = 0x023,
  kHmma = 0x03c,     ///< mma.sync
  kHgmma = 0x1f0,    ///< wgmma
  kLdsm = 0x03b,     ///< ldmatrix
  kLdgsts = 0x1ae,   ///< cp.async
  kUtmaldg = 0x1b4,  ///< cp.async.bulk.tensor to shared memory
  kMufu = 0x108,     ///< exp2 and the like
  kF2fp = 0x03e,     ///< two f32 rounded to 16 bits
  kR2ur = 0x0ca,     ///< a register to a uniform one
  kBar = 0x11d,      ///< bar.sync
  kBra = 0x147,
  kLdl = 0x183,  ///< local memory: what was spilled, or is indexed
  kStl = 0x187,
};

/// The machine code that ptxas made for one architecture, as opcodes: no disassembler is needed.
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
    for (const auto& [name, code] : kernels_) names.push_back(name);
    return names;
  }
  bool has(const std::string& kernel) const { return kernels_.count(kernel) != 0; }
  int count(const std::string& kernel, Opcode opcode) const {
    const std::vector<Opcode>& code = kernels_.at(kernel).opcodes;
    return static_cast<int>(std::count(code.begin(), code.end(), opcode));
  }

  /// The shortest loop that contains `opcode`, from the target of its branch back to that branch;
  /// empty where none does.
  std::vector<Opcode> loop_with(const std::string& kernel, Opcode opcode) const {
    const Code& code = kernels_.at(kernel);
    std::vector<Opcode> shortest;
    for (const auto& [from, target] : code.branches_back) {
      const std::vector<Opcode> loop(code.opcodes.begin() + target,
                                     code.opcodes.begin() + from + 1);
      if (std::find(loop.begin(), loop.end(), opcode) == loop.end()) continue;
      if (shortest.empty() || loop.size() < shortest.size()) shortest = loop;
    }
    return shortest;
  }

 private:
  struct Code {
    std::vector<Opcode> opcodes;
    std::vector<std::pair<std::ptrdiff_t, std::ptrdiff_t>> branches_back;  ///< numbers: of it, to
  };
  static constexpr std::size_t kInstructionBytes = 16;

  /// Bytes from the end of a branch to its target: units of 4; from 9.0 on the low 8 bits of them
  /// lie apart.
  std::int64_t branch_distance(std::uint64_t word) const {
    const std::int64_t high = static_cast<std::int64_t>(word) >> 34;
    if (capability() < 90) return high * 4;
    return high * 1024 + static_cast<std::int64_t>(word >> 16 & 0xff) * 4;
  }

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
      Code& code = kernels_[name.substr(6)];
      for (std::uint64_t i = 0; i < bytes; i += kInstructionBytes) {
        code.opcodes.push_back(static_cast<Opcode>(at<std::uint16_t>(from + i) & 0x1ff));
        if (code.opcodes.back() != Opcode::kBra) continue;
        const std::int64_t next = static_cast<std::int64_t>(i + kInstructionBytes);
        const std::int64_t target = next + branch_distance(at<std::uint64_t>(from + i));
        if (target < next)
          code.branches_back.emplace_back(i / kInstructionBytes, target / kInstructionBytes);
      }
    }
  }

  std::string image_, arch_, elf_;
  bool has_line_info_ = false;
  std::map<std::string, Code> kernels_;
};

}  // namespace flashbench::cuda
