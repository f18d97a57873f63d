#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace flashbench::ptx {

enum class InstructionClass {
  kInteger,
  kFloat,            ///< f32 and f64 arithmetic
  kHalf,             ///< f16 and bf16 arithmetic
  kSpecialFunction,  ///< ex2, lg2, rcp, sqrt, rsqrt, sin, cos, tanh
  kConvert,
  kMove,
  kCompare,
  kControl,
  kMemory,  ///< ld, st
  kAtomic,
  kWarp,  ///< shfl, vote, match, redux
  kBarrier,
  kAsyncCopy,
  kMatrix,  ///< ldmatrix, stmatrix, mma, wgmma
  kCount,
};

/// "integer", "f32/f64", ...
std::string_view name(InstructionClass c);

/// What a launch executed.
struct Counters {
  std::uint64_t warp_instructions = 0;
  std::uint64_t thread_instructions = 0;  ///< lanes whose guard predicate held
  std::array<std::uint64_t, static_cast<std::size_t>(InstructionClass::kCount)>
      by_class{};  ///< thread instructions
  std::uint64_t global_read_bytes = 0, global_written_bytes = 0;
  std::uint64_t shared_read_bytes = 0, shared_written_bytes = 0;
  std::uint64_t local_read_bytes = 0, local_written_bytes = 0;
  std::uint64_t barriers = 0;     ///< completed by a CTA (bar.sync 0 once per CTA, not per thread)
  std::uint64_t matrix_flop = 0;  ///< of mma and wgmma: 2*m*n*k each
  std::uint64_t ctas = 0;

  Counters& operator+=(const Counters& other);
};

/// The counters as --profile shows them; what never happened is left out.
std::vector<std::pair<std::string, std::uint64_t>> named(const Counters& c);

}  // namespace flashbench::ptx
