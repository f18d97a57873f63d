#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ptx/machine/counters.h"
#include "ptx/machine/finding.h"
#include "ptx/text/syntax.h"

// A kernel in the form that is executed.
namespace flashbench::ptx {

constexpr int kWarpSize = 32;
using LaneMask = std::uint32_t;  ///< bit i: lane i
constexpr LaneMask kAllLanes = ~LaneMask{0};

/// Where a register lies in a warp's register file, in bytes. A row holds one value per lane: 32 x
/// 4 bytes for types up to 32 bits, 32 x 8 for 64 bits; a predicate's row is one LaneMask.
/// Constants and special registers have rows too, so that every operand is a row.
using Row = std::uint32_t;
constexpr Row kRowAlign = 64;
constexpr Row kSink = 0;  ///< what `_` and absent destinations are written to
constexpr Row kWidestRow = 256;
constexpr Row kFirstRow = kWidestRow;
constexpr std::size_t row_index(Row row) { return row / kRowAlign; }

class Cta;
struct Warp;
struct Instruction;
/// Executes an instruction for the lanes of a mask, which is never empty.
using Handler = void (*)(Cta&, Warp&, const Instruction&, LaneMask);

enum class Control : std::uint8_t {
  kPlain,
  kCollective,  ///< waits until every lane of the member mask has come
  kBranch,
  kIndexedBranch,
  kExit,
  kCall,
  kReturn,
};

/// A copy between call arguments and parameters: offsets in the call space.
struct ArgumentCopy {
  std::uint32_t to, from, bytes;
};

struct Instruction {
  Handler execute = nullptr;
  Control control = Control::kPlain;
  InstructionClass kind = InstructionClass::kMove;
  bool guarded = false, guard_negated = false;
  bool blocks = false;      ///< its lanes may not be runnable afterwards
  bool retries = false;     ///< blocked lanes execute it again when they wake
  bool moves_only = false;  ///< an undefined source makes an undefined destination, not a finding
  Row guard = kSink;
  Row d = kSink, d2 = kSink, a = kSink, b = kSink, c = kSink;
  Row members = kSink;       ///< member mask of a collective
  bool has_members = false;  ///< false: all live lanes
  std::vector<Row> rows_d, rows_a, rows_b, rows_c;
  std::vector<std::uint8_t> widths;  ///< bytes per lane of a vector's registers

  // Meaning per family of opcodes.
  Space space = Space::kGeneric;
  std::uint8_t size = 0;    ///< bytes of an element
  std::uint8_t wide_a = 0;  ///< bytes per lane of row a
  std::uint8_t wide_d = 0;  ///< bytes per lane of row d
  bool sign = false, negate_a = false, negate_b = false, negate_c = false, flush = false,
       saturate = false, strong = false, acquire = false, release = false;
  std::uint8_t mode = 0, from = 0, to = 0;
  std::uint16_t n = 0;
  std::int64_t immediate = 0, immediate_b = 0;
  int target = 0;
  std::vector<int> targets;
  std::vector<ArgumentCopy> arguments, results;

  // Registers that it reads and writes, as row_index, for the check of definedness.
  std::vector<std::uint32_t> reads, writes;

  int line = 0;
  SourceLine source;
};

enum class Special : std::uint8_t {
  kTidX,
  kTidY,
  kTidZ,
  kNtidX,
  kNtidY,
  kNtidZ,
  kCtaidX,
  kCtaidY,
  kCtaidZ,
  kNctaidX,
  kNctaidY,
  kNctaidZ,
  kLaneId,
  kWarpId,
  kNwarpId,
  kSmId,
  kNsmId,
  kLaneMaskEq,
  kLaneMaskLt,
  kLaneMaskLe,
  kLaneMaskGt,
  kLaneMaskGe,
  kClock,
  kClock64,
  kDynamicSharedBytes,
  kTotalSharedBytes,
  kOne,
  kZero,
};

/// Offset of the first byte that a kernel may use in its shared window: what lies below belongs to
/// the system, and a null pointer points there.
constexpr std::uint32_t kSharedBase = 1024;
/// Instruction::mode of bar.warp.sync.
constexpr std::uint8_t kWarpSyncMode = 255;
/// Where the arguments of .func calls lie in the parameter space.
constexpr std::uint32_t kCallSpace = 1u << 20;

struct Program;

struct Kernel {
  std::string name;
  const Program* program = nullptr;
  std::vector<Instruction> code;
  std::vector<std::uint8_t> image;  ///< initial register file of a warp: constants filled in
  std::vector<LaneMask> defined;    ///< by row_index
  std::map<std::pair<Special, int>, Row> specials;  ///< by register and its bytes
  std::vector<std::uint32_t> parameter_offset, parameter_bytes;
  std::uint32_t parameters_end = 0, call_bytes = 0, local_bytes = 0;
  bool uses_wgmma = false;
  std::uint32_t static_shared_end = kSharedBase, dynamic_shared = kSharedBase;
};

/// A loaded module: its text and what was decoded of it so far.
struct Program {
  std::string name;
  Syntax syntax;
  std::map<std::string, std::uint64_t, std::less<>> symbols;  ///< addresses of .global and .const
  std::uint32_t global_bytes = 0;                             ///< of these
  std::map<std::string, std::unique_ptr<Kernel>, std::less<>> kernels;

  /// The text of a PTX line without its indentation.
  std::string text_of(int line) const;
  /// A CUDA source file's name without its folder; empty if unknown.
  std::string file_name(int file) const;
};

}  // namespace flashbench::ptx
