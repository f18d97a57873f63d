// Names to rows: registers, special registers, constants, variables.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#include "ptx/opcodes/decoder.h"
#include "ptx/text/ptx_error.h"

namespace flashbench::ptx {
namespace {

bool is_register_of(const RegisterRange& range, std::string_view name) {
  if (range.count < 0) return name == range.prefix;
  if (!name.starts_with(range.prefix)) return false;
  name.remove_prefix(range.prefix.size());
  int number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && end == name.data() + name.size() && number >= 0 &&
         number < range.count;
}

}  // namespace

Row Decoder::new_row(int bytes) {
  const auto row = static_cast<Row>(kernel_->image.size());
  const std::size_t size = bytes == 0 ? kRowAlign : bytes == 8 ? kWidestRow : kWidestRow / 2;
  if (row + size > kMostRegisterBytes) fail("too many registers and constants");
  kernel_->image.resize(row + size);
  kernel_->defined.resize(row_index(row + static_cast<Row>(size)), 0);
  return row;
}

Row Decoder::constant(std::uint64_t value, int bytes) {
  const int stride = bytes == 8 ? 8 : 4;
  if (bytes < 8) value &= (std::uint64_t{1} << (8 * bytes)) - 1;
  Row& row = constants_[{stride, value}];
  if (row != 0) return row;
  row = new_row(stride);
  for (std::size_t lane = 0; lane < kWarpSize; ++lane) {
    std::memcpy(kernel_->image.data() + row + lane * static_cast<std::size_t>(stride), &value,
                static_cast<std::size_t>(stride));
  }
  kernel_->defined[row_index(row)] = kAllLanes;
  return row;
}

Row Decoder::carry() {
  if (carry_ == 0) carry_ = new_row(0);
  return carry_;
}

const Decoder::Register* Decoder::find_register(const std::string& name) {
  for (int s = statement_->scope; s >= 0;
       s = function_->scopes[static_cast<std::size_t>(s)].parent) {
    for (const RegisterRange& range : function_->scopes[static_cast<std::size_t>(s)].registers) {
      if (!is_register_of(range, name)) continue;
      const std::string key = fmt::format("{}/{}/{}", function_index_, s, name);
      const auto it = registers_.find(key);
      if (it != registers_.end()) return &it->second;
      if (range.type == Type::kB128) fail("128-bit registers are not known");
      const int size = size_of(range.type), bytes = size == 0 ? 0 : size == 8 ? 8 : 4;
      return &(registers_[key] = {new_row(bytes), bytes, range.type});
    }
  }
  return find_special(name);
}

const Decoder::Register* Decoder::find_special(const std::string& name) {
  struct Entry {
    std::string_view name;
    Special which;
    int bytes = 4;
  };
  static constexpr Entry kTable[] = {
      {"%tid.x", Special::kTidX},
      {"%tid.y", Special::kTidY},
      {"%tid.z", Special::kTidZ},
      {"%ntid.x", Special::kNtidX},
      {"%ntid.y", Special::kNtidY},
      {"%ntid.z", Special::kNtidZ},
      {"%ctaid.x", Special::kCtaidX},
      {"%ctaid.y", Special::kCtaidY},
      {"%ctaid.z", Special::kCtaidZ},
      {"%nctaid.x", Special::kNctaidX},
      {"%nctaid.y", Special::kNctaidY},
      {"%nctaid.z", Special::kNctaidZ},
      {"%laneid", Special::kLaneId},
      {"%warpid", Special::kWarpId},
      {"%nwarpid", Special::kNwarpId},
      {"%smid", Special::kSmId},
      {"%nsmid", Special::kNsmId},
      {"%lanemask_eq", Special::kLaneMaskEq},
      {"%lanemask_lt", Special::kLaneMaskLt},
      {"%lanemask_le", Special::kLaneMaskLe},
      {"%lanemask_gt", Special::kLaneMaskGt},
      {"%lanemask_ge", Special::kLaneMaskGe},
      {"%clock", Special::kClock},
      {"%clock64", Special::kClock64, 8},
      {"%globaltimer", Special::kClock64, 8},
      {"%dynamic_smem_size", Special::kDynamicSharedBytes},
      {"%total_smem_size", Special::kTotalSharedBytes},
      {"%cluster_ctarank", Special::kZero},
      {"%cluster_nctarank", Special::kOne},
      {"%cluster_ctaid.x", Special::kZero},
      {"%cluster_nctaid.x", Special::kOne},
      {"%cluster_ctaid.y", Special::kZero},
      {"%cluster_nctaid.y", Special::kOne},
      {"%cluster_ctaid.z", Special::kZero},
      {"%cluster_nctaid.z", Special::kOne},
      {"%clusterid.x", Special::kCtaidX},
      {"%clusterid.y", Special::kCtaidY},
      {"%clusterid.z", Special::kCtaidZ},
      {"%nclusterid.x", Special::kNctaidX},
      {"%nclusterid.y", Special::kNctaidY},
      {"%nclusterid.z", Special::kNctaidZ},
  };
  for (const Entry& e : kTable) {
    if (e.name != name) continue;
    Row& row = kernel_->specials[{e.which, e.bytes}];
    if (row == 0) {
      row = new_row(e.bytes);
      kernel_->defined[row_index(row)] = kAllLanes;
    }
    return &(registers_[name] = {row, e.bytes, Type::kB32});
  }
  return nullptr;
}

bool Decoder::find_symbol(const std::string& name, std::uint64_t& address) {
  const Function& f = *function_;
  for (int s = statement_->scope; s >= 0; s = f.scopes[static_cast<std::size_t>(s)].parent) {
    const auto& variables = f.scopes[static_cast<std::size_t>(s)].variables;
    if (const auto it = variables.find(name); it != variables.end()) {
      address = place(it->second, s);
      return true;
    }
  }
  for (std::size_t i = 0; i < f.parameters.size(); ++i) {
    if (f.parameters[i].name != name) continue;
    address =
        f.entry ? kernel_->parameter_offset[i] : locals_.at({function_index_, kParameters, name});
    return true;
  }
  for (const Variable& v : f.returns) {
    if (v.name != name) continue;
    address = locals_.at({function_index_, kParameters, name});
    return true;
  }
  for (const Variable& v : program_.syntax.variables) {
    if (v.name != name) continue;
    address = place(v, -1);
    return true;
  }
  return false;
}

std::uint64_t Decoder::place(const Variable& v, int scope) {
  if (v.space == Space::kShared) {
    return v.external || v.size == 0 ? kernel_->dynamic_shared : shared_.at(v.name);
  }
  if (v.space == Space::kGlobal) {
    const auto it = program_.symbols.find(v.name);
    if (it != program_.symbols.end()) return it->second;
    append(v, program_.global_bytes, kMostModuleBytes);
    const std::uint64_t base = global_.alloc(v.size, v.name);
    Allocation& a = *global_.find(base, 0);
    std::memset(a.written.data(), 1, v.size);
    std::copy(v.initial.begin(), v.initial.end(), a.data.data());
    return program_.symbols[v.name] = base;
  }
  const Place key{function_index_, scope, v.name};
  const auto it = locals_.find(key);
  if (it != locals_.end()) return it->second;
  if (v.space == Space::kParam) return locals_[key] = place_in_call_space(v);
  return locals_[key] = append(v, kernel_->local_bytes, kMostThreadBytes);
}

std::uint32_t Decoder::place_in_call_space(const Variable& v) {
  return kCallSpace + append(v, kernel_->call_bytes, kMostThreadBytes);
}

Row Decoder::source(const Operand& o, Type type) {
  const int bytes = type == Type::kPred ? 4 : std::max(1, size_of(type));
  switch (o.kind) {
    case Operand::Kind::kName: {
      if (const Register* r = find_register(o.name)) {
        reads_.push_back(static_cast<std::uint32_t>(row_index(r->row)));
        return r->row;
      }
      if (o.name == "WARP_SZ") return constant(kWarpSize, bytes);
      std::uint64_t address;
      if (find_symbol(o.name, address)) {
        return constant(address + static_cast<std::uint64_t>(o.value), bytes);
      }
      fail(fmt::format("unknown name '{}'", o.name));
    }
    case Operand::Kind::kInteger:
      if (type == Type::kF32) {
        return constant(std::bit_cast<std::uint32_t>(static_cast<float>(o.value)), 4);
      }
      if (type == Type::kF64) {
        return constant(std::bit_cast<std::uint64_t>(static_cast<double>(o.value)), 8);
      }
      if (type == Type::kPred) return constant(o.value != 0 ? kAllLanes : 0, 4);
      return constant(static_cast<std::uint64_t>(o.value), bytes);
    case Operand::Kind::kFloat32:
      if (bytes == 8) {
        const auto bits = static_cast<std::uint32_t>(o.value);
        return constant(std::bit_cast<std::uint64_t>(double{std::bit_cast<float>(bits)}), 8);
      }
      return constant(static_cast<std::uint64_t>(o.value), 4);
    case Operand::Kind::kFloat64:
      if (bytes == 8) return constant(static_cast<std::uint64_t>(o.value), 8);
      return constant(
          std::bit_cast<std::uint32_t>(static_cast<float>(std::bit_cast<double>(o.value))), 4);
    case Operand::Kind::kAddress:
    case Operand::Kind::kVector:
    case Operand::Kind::kPair:
    case Operand::Kind::kList:
      break;
  }
  fail("an operand of the wrong kind");
}

Row Decoder::destination(const Operand& o) {
  if (o.kind != Operand::Kind::kName) fail("the destination is no register");
  if (o.name == "_") return kSink;
  const Register* r = find_register(o.name);
  if (r == nullptr) fail(fmt::format("unknown register '{}'", o.name));
  writes_.push_back(static_cast<std::uint32_t>(row_index(r->row)));
  return r->row;
}

int Decoder::register_bytes(const Operand& o) const {
  if (o.kind != Operand::Kind::kName || o.name == "_") return 0;
  const Register* r = const_cast<Decoder*>(this)->find_register(o.name);
  return r == nullptr ? 0 : r->bytes;
}

std::vector<Row> Decoder::sources(const Operand& o, Type type, std::vector<std::uint8_t>* widths) {
  std::vector<Row> rows;
  const auto add = [&](const Operand& part) {
    rows.push_back(source(part, type));
    const int bytes = register_bytes(part);
    if (widths != nullptr) {
      widths->push_back(static_cast<std::uint8_t>(bytes != 0 ? bytes : size_of(type) == 8 ? 8 : 4));
    }
  };
  if (o.kind == Operand::Kind::kVector) {
    for (const Operand& part : o.parts) add(part);
  } else {
    add(o);
  }
  return rows;
}

std::vector<Row> Decoder::destinations(const Operand& o, std::vector<std::uint8_t>* widths) {
  std::vector<Row> rows;
  const auto add = [&](const Operand& part) {
    rows.push_back(destination(part));
    if (widths != nullptr) widths->push_back(register_bytes(part) == 8 ? 8 : 4);
  };
  if (o.kind == Operand::Kind::kVector) {
    for (const Operand& part : o.parts) add(part);
  } else {
    add(o);
  }
  return rows;
}

void Decoder::address(Instruction& ins, const Operand& o) {
  if (o.kind != Operand::Kind::kAddress || o.parts.empty()) fail("expected an address in brackets");
  const Operand& base = o.parts[0];
  const int bytes = register_bytes(base);
  if (bytes != 0) {
    ins.a = source(base, Type::kB64);
    ins.wide_a = static_cast<std::uint8_t>(bytes);
    ins.immediate = base.value;
    return;
  }
  ins.wide_a = 8;
  ins.a = source(base, Type::kB64);
}

}  // namespace flashbench::ptx
