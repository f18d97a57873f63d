#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

// What PTX text says, before names are resolved: PTX ISA 9.0, chapters 4 to 9.
namespace flashbench::ptx {

enum class Type : std::uint8_t {
  kNone,
  kPred,
  kB8,
  kU8,
  kS8,
  kB16,
  kU16,
  kS16,
  kF16,
  kBf16,
  kB32,
  kU32,
  kS32,
  kF32,
  kF16x2,
  kBf16x2,
  kTf32,
  kB64,
  kU64,
  kS64,
  kF64,
  kB128,
};

/// Bytes of a value; 0 for a predicate.
int size_of(Type t);
bool is_signed(Type t);
bool is_unsigned(Type t);  ///< .uN and .bN
bool is_float(Type t);     ///< f32 and f64
bool is_half(Type t);      ///< f16, bf16 and their pairs
/// kNone if `name` (without its dot) is no type.
Type parse_type(std::string_view name);

enum class Space : std::uint8_t { kGeneric, kGlobal, kShared, kLocal, kParam };

/// A line of the CUDA source: `file` is .file's number. Where the line was inlined into a kernel,
/// the caller is the kernel's own line.
struct SourceLine {
  int file = 0, line = 0;
  int caller_file = 0, caller_line = 0;
};

struct Operand {
  enum class Kind : std::uint8_t {
    kName,     ///< register, variable, label, function; `value` is added to an address
    kInteger,  ///< `value`
    kFloat32,  ///< `value` holds the bits
    kFloat64,
    kAddress,  ///< [parts]
    kVector,   ///< {parts}
    kPair,     ///< parts[0]|parts[1]
    kList,     ///< (parts)
  };
  Kind kind = Kind::kName;
  bool negated = false;  ///< !p
  std::string name;
  std::int64_t value = 0;
  std::vector<Operand> parts;
};

struct Statement {
  std::vector<std::string> words;  ///< "ld", "global", "v4", "f32"
  std::vector<Type> types;         ///< those of `words` that are types
  std::string guard;
  bool guard_negated = false;
  std::vector<Operand> operands;
  int line = 0;
  SourceLine source;
  int scope = 0;

  const std::string& root() const { return words[0]; }
  bool has(std::string_view word) const;
  Type type() const { return types.empty() ? Type::kNone : types.back(); }
};

struct Variable {
  std::string name;
  Space space = Space::kGlobal;
  Type type = Type::kNone;  ///< of an element
  std::uint32_t align = 1, size = 0;
  std::vector<std::uint8_t> initial;  ///< may be shorter than size: the rest is zero
  bool external = false;              ///< of dynamic shared memory
};

/// .reg .b32 %r<9>: %r0 to %r8; count is -1 for a single name.
struct RegisterRange {
  std::string prefix;
  int count = -1;
  Type type = Type::kNone;
};

/// A { } block: registers, variables and labels of inline assembly belong to one.
struct Scope {
  int parent = -1;
  std::vector<RegisterRange> registers;
  std::map<std::string, Variable, std::less<>> variables;
  std::map<std::string, int, std::less<>> labels;  ///< index of the statement that follows
  std::map<std::string, std::vector<std::string>, std::less<>> branch_targets;
};

struct Function {
  std::string name;
  bool entry = false;
  std::vector<Variable> parameters, returns;
  std::vector<std::uint32_t> required_block;  ///< .reqntid: x, y, z as far as it says
  std::vector<std::uint32_t> largest_block;   ///< .maxntid, likewise
  std::vector<Statement> body;
  std::vector<Scope> scopes;
};

struct Syntax {
  int target = 0;                ///< 80 of .target sm_80
  bool target_is_exact = false;  ///< sm_90a: code for 9.0 and nothing newer
  std::map<std::string, Function, std::less<>> functions;
  std::vector<Variable> variables;
  std::map<int, std::string> files;
  std::vector<std::string> lines;
};

/// Throws PtxError naming `name` and the line.
Syntax parse(std::string_view text, std::string_view name);

}  // namespace flashbench::ptx
