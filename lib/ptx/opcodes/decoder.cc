#include "ptx/opcodes/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "ptx/machine/cta.h"
#include "ptx/text/ptx_error.h"

namespace flashbench::ptx {
namespace {

const OpcodeTable& opcodes() {
  static const OpcodeTable table = [] {
    OpcodeTable t;
    add_integer_opcodes(t);
    add_bit_opcodes(t);
    add_float_opcodes(t);
    add_move_opcodes(t);
    add_compare_opcodes(t);
    add_convert_opcodes(t);
    add_memory_opcodes(t);
    add_atomic_opcodes(t);
    add_warp_opcodes(t);
    add_control_opcodes(t);
    add_async_copy_opcodes(t);
    add_matrix_opcodes(t);
    add_mbarrier_opcodes(t);
    add_wgmma_opcodes(t);
    return t;
  }();
  return table;
}

}  // namespace

std::vector<std::string> known_opcodes() {
  std::vector<std::string> all;
  for (const auto& [name, decode] : opcodes()) all.emplace_back(name);
  std::sort(all.begin(), all.end());
  return all;
}

std::unique_ptr<Kernel> Decoder::run(std::string_view entry) {
  const auto it = program_.syntax.functions.find(entry);
  if (it == program_.syntax.functions.end() || !it->second.entry) {
    throw DeviceError(fmt::format("{}: there is no kernel '{}'", program_.name, entry));
  }
  kernel_ = std::make_unique<Kernel>();
  kernel_->name = it->first;
  kernel_->program = &program_;
  kernel_->image.resize(kFirstRow);
  kernel_->defined.assign(row_index(kFirstRow), kAllLanes);
  lay_out_parameters(it->second);
  lay_out_shared();
  queue_ = {it->first};
  function_indices_[it->first] = 0;
  for (std::size_t i = 0; i < queue_.size(); ++i) {  // calls append to it
    decode_function(program_.syntax.functions.at(queue_[i]), static_cast<int>(i));
  }
  resolve_labels();
  // Whatever the type of an instruction makes of a register, it reads and writes no other memory.
  kernel_->image.resize(kernel_->image.size() + kWidestRow);
  return std::move(kernel_);
}

std::uint32_t Decoder::append(const Variable& v, std::uint32_t& end, std::uint32_t most) const {
  const std::uint32_t at = round_up(end, v.align);
  if (at > most || v.size > most - at)
    throw PtxError(fmt::format("{}: '{}' has {} bytes, behind {} others; at most {} are emulated",
                               program_.name, v.name, v.size, end, most));
  end = at + v.size;
  return at;
}

void Decoder::lay_out_parameters(const Function& f) {
  std::uint32_t end = 0;
  for (const Variable& p : f.parameters) {
    kernel_->parameter_offset.push_back(append(p, end, kMostThreadBytes));
    kernel_->parameter_bytes.push_back(p.size);
  }
  kernel_->parameters_end = end;
}

// Static variables first, then the dynamic part. Every kernel of a module gets all static
// variables that the module itself and this kernel declare.
void Decoder::lay_out_shared() {
  std::uint32_t end = kSharedBase, dynamic_align = 16;
  const auto add = [&](const Variable& v) {
    if (v.space != Space::kShared) return;
    if (v.external || v.size == 0) {
      dynamic_align = std::max(dynamic_align, v.align);
      return;
    }
    shared_[v.name] = append(v, end, kMostSharedBytes);
  };
  for (const Variable& v : program_.syntax.variables) add(v);
  for (const auto& [name, f] : program_.syntax.functions) {
    if (f.entry && name != kernel_->name) continue;
    for (const Scope& scope : f.scopes) {
      for (const auto& [variable_name, v] : scope.variables) add(v);
    }
  }
  kernel_->static_shared_end = end;
  kernel_->dynamic_shared = round_up(end, dynamic_align);
  // A kernel that needs more than 16 must say so: it gets no more by accident.
  if (dynamic_shared_ == DynamicShared::kAsDeclared && dynamic_align == 16)
    kernel_->dynamic_shared += kernel_->dynamic_shared % 32 == 0 ? 16 : 0;
}

void Decoder::decode_function(const Function& f, int index) {
  function_ = &f;
  function_index_ = index;
  function_starts_[f.name] = static_cast<int>(kernel_->code.size());
  statement_starts_.emplace_back();
  for (const Statement& s : f.body) {
    statement_starts_.back().push_back(static_cast<int>(kernel_->code.size()));
    decode_statement(s);
  }
  statement_starts_.back().push_back(static_cast<int>(kernel_->code.size()));
  Instruction end;  // falling off the end
  end.control = f.entry ? Control::kExit : Control::kReturn;
  end.kind = InstructionClass::kControl;
  end.line = f.body.empty() ? 0 : f.body.back().line;
  kernel_->code.push_back(end);
}

void Decoder::decode_statement(const Statement& s) {
  statement_ = &s;
  known_words_.assign(s.words.size(), false);
  reads_.clear();
  writes_.clear();
  Instruction ins;
  ins.line = s.line;
  ins.source = s.source;
  if (!s.guard.empty()) {
    const Register* r = find_register(s.guard);
    if (r == nullptr || r->bytes != 0) fail(fmt::format("'{}' is no predicate", s.guard));
    ins.guard = r->row;
    ins.guarded = true;
    ins.guard_negated = s.guard_negated;
  }
  const auto it = opcodes().find(s.root());
  if (it == opcodes().end() || !it->second(*this, s, ins)) fail("unknown instruction");
  for (std::size_t i = 1; i < s.words.size(); ++i) {
    if (!known_words_[i] && parse_type(s.words[i]) == Type::kNone) {
      fail(fmt::format("unknown modifier '.{}'", s.words[i]));
    }
  }
  finish_instruction(ins);
  kernel_->code.push_back(std::move(ins));
}

void Decoder::finish_instruction(Instruction& ins) {
  const auto unique = [](std::vector<std::uint32_t>& v) {
    std::sort(v.begin(), v.end());
    v.erase(std::unique(v.begin(), v.end()), v.end());
  };
  // What can never be undefined need not be looked at.
  std::erase_if(reads_, [&](std::uint32_t r) { return kernel_->defined[r] == kAllLanes; });
  unique(reads_);
  unique(writes_);
  ins.reads = reads_;
  ins.writes = writes_;
}

bool Decoder::has(std::string_view word) {
  bool found = false;
  for (std::size_t i = 1; i < statement_->words.size(); ++i) {
    if (statement_->words[i] == word) known_words_[i] = found = true;
  }
  return found;
}

void Decoder::ignore(std::initializer_list<std::string_view> words) {
  for (const std::string_view w : words) has(w);
}

Space Decoder::space() {
  Space s = Space::kGeneric;
  if (has("global") || has("const")) s = Space::kGlobal;
  if (has("shared") || has("shared::cta")) s = Space::kShared;
  if (has("local")) s = Space::kLocal;
  if (has("param") || has("param::entry") || has("param::func")) s = Space::kParam;
  return s;
}

void Decoder::fail(std::string_view what) const {
  throw PtxError(fmt::format("{}: PTX line {}: {}: {}", program_.name, statement_->line, what,
                             program_.text_of(statement_->line)));
}

void Decoder::operands(std::size_t least, std::size_t most) const {
  const std::size_t n = statement_->operands.size();
  if (n < least || n > most) fail(fmt::format("{} operands", n));
}

std::int64_t Decoder::integer(const Operand& o) const {
  if (o.kind != Operand::Kind::kInteger) fail("expected an integer constant");
  return o.value;
}

void Decoder::branch_to(const Operand& label) {
  fixups_.push_back({kernel_->code.size(), function_index_, statement_->scope, label.name, -1});
}

void Decoder::indexed_branch_to(Instruction& ins, const Operand& table) {
  for (int s = statement_->scope; s >= 0;
       s = function_->scopes[static_cast<std::size_t>(s)].parent) {
    const auto& tables = function_->scopes[static_cast<std::size_t>(s)].branch_targets;
    const auto it = tables.find(table.name);
    if (it == tables.end()) continue;
    ins.targets.resize(it->second.size());
    for (std::size_t i = 0; i < it->second.size(); ++i) {
      fixups_.push_back(
          {kernel_->code.size(), function_index_, s, it->second[i], static_cast<int>(i)});
    }
    return;
  }
  fail(fmt::format("unknown .branchtargets '{}'", table.name));
}

int Decoder::enqueue(const std::string& name, const Function& f) {
  const auto it = function_indices_.find(name);
  if (it != function_indices_.end()) return it->second;
  const int index = static_cast<int>(queue_.size());
  function_indices_[name] = index;
  queue_.push_back(name);
  for (const auto* list : {&f.parameters, &f.returns}) {
    for (const Variable& v : *list) locals_[{index, kParameters, v.name}] = place_in_call_space(v);
  }
  return index;
}

void Decoder::call(Instruction& ins) {
  const std::vector<Operand>& o = statement_->operands;
  std::size_t at = 0;
  std::vector<Operand> results, arguments;
  if (!o.empty() && o[0].kind == Operand::Kind::kList) results = o[at++].parts;
  if (at >= o.size()) fail("call of nothing");
  const std::string& name = o[at++].name;
  if (at < o.size()) arguments = o[at].parts;
  const auto it = program_.syntax.functions.find(name);
  if (it == program_.syntax.functions.end()) fail(fmt::format("call of unknown '{}'", name));
  const Function& f = it->second;
  if (f.entry) fail(fmt::format("call of the kernel '{}'", name));
  const int index = enqueue(name, f);
  if (results.size() != f.returns.size() || arguments.size() != f.parameters.size()) {
    fail(fmt::format("'{}' takes {} arguments and returns {}", name, f.parameters.size(),
                     f.returns.size()));
  }
  // Of a .param variable that holds `bytes`.
  const auto offset = [&](const Operand& argument, std::uint32_t bytes) {
    std::uint64_t address = 0;
    const bool known = find_symbol(argument.name, address) && address >= kCallSpace;
    const std::uint64_t first = address - kCallSpace, all = kernel_->call_bytes;
    if (!known || first > all || bytes > all - first)
      fail(fmt::format("'{}' cannot be an argument of {} bytes", argument.name, bytes));
    return static_cast<std::uint32_t>(first);
  };
  const auto callee = [&](const Variable& v) {
    return static_cast<std::uint32_t>(locals_.at({index, kParameters, v.name}) - kCallSpace);
  };
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::uint32_t bytes = f.parameters[i].size;
    ins.arguments.push_back({callee(f.parameters[i]), offset(arguments[i], bytes), bytes});
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    const std::uint32_t bytes = f.returns[i].size;
    ins.results.push_back({offset(results[i], bytes), callee(f.returns[i]), bytes});
  }
  fixups_.push_back({kernel_->code.size(), function_index_, -1, name, -1});
}

void Decoder::resolve_labels() {
  for (const Fixup& fix : fixups_) {
    const auto function = static_cast<std::size_t>(fix.function);
    const Function& f = program_.syntax.functions.at(queue_[function]);
    int target = fix.scope < 0 ? function_starts_.at(fix.label) : -1;
    for (int s = fix.scope; s >= 0 && target < 0;
         s = f.scopes[static_cast<std::size_t>(s)].parent) {
      const auto& labels = f.scopes[static_cast<std::size_t>(s)].labels;
      const auto it = labels.find(fix.label);
      if (it != labels.end()) {
        target = statement_starts_[function][static_cast<std::size_t>(it->second)];
      }
    }
    Instruction& ins = kernel_->code[fix.ins];
    if (target < 0) {
      throw PtxError(
          fmt::format("{}: PTX line {}: unknown label '{}'", program_.name, ins.line, fix.label));
    }
    if (fix.slot < 0) {
      ins.target = target;
    } else {
      ins.targets[static_cast<std::size_t>(fix.slot)] = target;
    }
  }
}

}  // namespace flashbench::ptx
