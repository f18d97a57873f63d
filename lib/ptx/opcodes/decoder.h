#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "ptx/machine/global_memory.h"
#include "ptx/machine/kernel.h"
#include "ptx/machine/options.h"

namespace flashbench::ptx {

/// Turns the statements of a kernel, and of the functions that it calls, into Instructions.
/// Every modifier of an opcode must be asked for by the code that decodes it: one that nobody
/// knows is an error, never ignored.
class Decoder {
 public:
  Decoder(Program& program, GlobalMemory& global, DynamicShared dynamic_shared)
      : program_(program), global_(global), dynamic_shared_(dynamic_shared) {}

  /// Throws DeviceError if there is no such kernel, PtxError if it cannot be executed.
  std::unique_ptr<Kernel> run(std::string_view entry);

  // ---- for the families of opcodes
  /// True if the opcode carries the modifier `word`, which counts as known from then on.
  bool has(std::string_view word);
  /// The state space that a modifier names.
  Space space();
  /// Modifiers that change nothing here: cache hints, `.uni`.
  void ignore(std::initializer_list<std::string_view> words);
  [[noreturn]] void fail(std::string_view what) const;
  /// Fails unless the statement has between `least` and `most` operands.
  void operands(std::size_t least, std::size_t most) const;

  /// The row of a register, constant, special register or variable's address that is read.
  Row source(const Operand& o, Type type);
  Row destination(const Operand& o);
  /// The registers of a vector, or the one register. `widths` gets the bytes per lane.
  std::vector<Row> sources(const Operand& o, Type type,
                           std::vector<std::uint8_t>* widths = nullptr);
  std::vector<Row> destinations(const Operand& o, std::vector<std::uint8_t>* widths = nullptr);
  /// Bytes per lane of a register's row; 0 if `o` is none.
  int register_bytes(const Operand& o) const;
  /// Sets a, wide_a and immediate from [register or variable + offset].
  void address(Instruction& ins, const Operand& o);
  /// The carry flag of add.cc.
  Row carry();
  std::int64_t integer(const Operand& o) const;
  void branch_to(const Operand& label);
  void indexed_branch_to(Instruction& ins, const Operand& table);
  void call(Instruction& ins);
  void uses_wgmma() { kernel_->uses_wgmma = true; }
  bool in_entry() const { return function_->entry; }

 private:
  struct Register {
    Row row;
    int bytes;
    Type type;
  };
  struct Fixup {
    std::size_t ins;
    int function, scope;
    std::string label;
    int slot;  ///< index into targets, or -1 for target
  };

  /// Of a variable: function, scope in it and name.
  using Place = std::tuple<int, int, std::string>;
  static constexpr int kParameters = -2;  ///< the scope of what a function takes and returns

  Row new_row(int bytes);
  /// A row that always holds `value`.
  Row constant(std::uint64_t value, int bytes);
  const Register* find_register(const std::string& name);
  const Register* find_special(const std::string& name);
  bool find_symbol(const std::string& name, std::uint64_t& address);
  std::uint64_t place(const Variable& v, int scope);
  /// Where `v` lies behind `end`, which moves behind it. Throws PtxError beyond `most`.
  std::uint32_t append(const Variable& v, std::uint32_t& end, std::uint32_t most) const;
  void lay_out_shared();
  void lay_out_parameters(const Function& f);
  void decode_function(const Function& f, int index);
  void decode_statement(const Statement& s);
  void finish_instruction(Instruction& ins);
  int enqueue(const std::string& name, const Function& f);
  void resolve_labels();
  std::uint32_t place_in_call_space(const Variable& v);

  Program& program_;
  GlobalMemory& global_;
  DynamicShared dynamic_shared_;
  std::unique_ptr<Kernel> kernel_;
  const Function* function_ = nullptr;
  int function_index_ = 0;
  const Statement* statement_ = nullptr;
  std::vector<bool> known_words_;
  std::vector<std::uint32_t> reads_, writes_;
  Row carry_ = 0;

  std::unordered_map<std::string, Register> registers_;  ///< key: function, scope, name
  std::map<std::pair<int, std::uint64_t>, Row> constants_;
  std::map<Place, std::uint64_t> locals_;
  std::map<std::string, std::uint32_t, std::less<>> shared_;
  std::vector<std::string> queue_;  ///< functions, the kernel first
  std::map<std::string, int, std::less<>> function_indices_;
  std::map<std::string, int, std::less<>> function_starts_;
  std::vector<std::vector<int>> statement_starts_;  ///< per function: statement -> instruction
  std::vector<Fixup> fixups_;
};

inline std::uint32_t round_up(std::uint32_t n, std::uint32_t to) { return (n + to - 1) / to * to; }

/// More than any GPU has: of local memory and of call arguments of a thread (PTX ISA 9.0, table of
/// limits), of shared memory, of a module's own global memory, and of a warp's registers.
constexpr std::uint32_t kMostThreadBytes = 512 << 10, kMostSharedBytes = 16 << 20,
                        kMostModuleBytes = 256 << 20, kMostRegisterBytes = 64 << 20;

/// Executes what only hints, or orders what is in order here.
inline void nothing(Cta&, Warp&, const Instruction&, LaneMask) {}

/// Decodes a statement into `ins`. False: not an instruction of this family.
using DecodeFunction = bool (*)(Decoder&, const Statement&, Instruction&);
using OpcodeTable = std::unordered_map<std::string_view, DecodeFunction>;

/// The opcodes that some family decodes, sorted.
std::vector<std::string> known_opcodes();

void add_integer_opcodes(OpcodeTable& table);
void add_bit_opcodes(OpcodeTable& table);
void add_float_opcodes(OpcodeTable& table);
void add_move_opcodes(OpcodeTable& table);
void add_compare_opcodes(OpcodeTable& table);
void add_convert_opcodes(OpcodeTable& table);
void add_memory_opcodes(OpcodeTable& table);
void add_atomic_opcodes(OpcodeTable& table);
void add_warp_opcodes(OpcodeTable& table);
void add_control_opcodes(OpcodeTable& table);
void add_async_copy_opcodes(OpcodeTable& table);
void add_matrix_opcodes(OpcodeTable& table);
void add_mbarrier_opcodes(OpcodeTable& table);
void add_wgmma_opcodes(OpcodeTable& table);

/// f16 and bf16 forms of add, sub, mul, fma, min, max, neg, abs, ex2, tanh.
bool decode_half(Decoder& d, const Statement& s, Instruction& ins);
/// f32x2 forms of add, sub, mul, fma.
bool decode_float_pair(Decoder& d, const Statement& s, Instruction& ins);
/// f32 and f64 forms of add, sub, mul, mad, fma, div, min, max, neg, abs.
bool decode_float(Decoder& d, const Statement& s, Instruction& ins);
/// and, or, xor, not of predicates.
bool decode_predicate_logic(Decoder& d, const Statement& s, Instruction& ins);
/// cp.async.bulk, cp.reduce.async.bulk.
bool decode_bulk(Decoder& d, const Statement& s, Instruction& ins);
/// fence.proxy.async, fence.mbarrier_init.
bool decode_proxy_fence(Decoder& d, const Statement& s, Instruction& ins);

}  // namespace flashbench::ptx
