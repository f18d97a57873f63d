#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "ptx/text/lexer.h"
#include "ptx/text/ptx_error.h"
#include "ptx/text/syntax.h"
#include "system/quote.h"

namespace flashbench::ptx {
namespace {

struct TypeName {
  std::string_view name;
  Type type;
  int bytes;
};

constexpr std::array kTypes = {
    TypeName{"pred", Type::kPred, 0},     TypeName{"b8", Type::kB8, 1},
    TypeName{"u8", Type::kU8, 1},         TypeName{"s8", Type::kS8, 1},
    TypeName{"b16", Type::kB16, 2},       TypeName{"u16", Type::kU16, 2},
    TypeName{"s16", Type::kS16, 2},       TypeName{"f16", Type::kF16, 2},
    TypeName{"bf16", Type::kBf16, 2},     TypeName{"b32", Type::kB32, 4},
    TypeName{"u32", Type::kU32, 4},       TypeName{"s32", Type::kS32, 4},
    TypeName{"f32", Type::kF32, 4},       TypeName{"f16x2", Type::kF16x2, 4},
    TypeName{"bf16x2", Type::kBf16x2, 4}, TypeName{"tf32", Type::kTf32, 4},
    TypeName{"b64", Type::kB64, 8},       TypeName{"u64", Type::kU64, 8},
    TypeName{"s64", Type::kS64, 8},       TypeName{"f64", Type::kF64, 8},
    TypeName{"b128", Type::kB128, 16},
};

/// Of all parameters of a kernel together (PTX ISA 9.0, "Kernel Function Parameters", sm_70 on).
constexpr std::uint32_t kMostParameterBytes = 32764;

/// Of variables; what TMA and wgmma's swizzles want is 1024.
constexpr std::uint32_t kMostAlign = 1 << 16;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::optional<Space> parse_space(std::string_view word) {
  if (word == ".global" || word == ".const") return Space::kGlobal;
  if (word == ".shared") return Space::kShared;
  if (word == ".local") return Space::kLocal;
  if (word == ".param") return Space::kParam;
  return std::nullopt;
}

class Parser {
 public:
  Parser(std::string_view text, std::string_view name) : name_(name), tokens_(tokenize(text)) {}

  Syntax run() {
    out_.target = tokens_.target;
    out_.target_is_exact = tokens_.target_is_exact;
    while (next_ < tokens_.list.size()) top_level();
    out_.files = std::move(tokens_.files);
    out_.lines = std::move(tokens_.lines);
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    const std::size_t at = std::min(next_, tokens_.list.size() - 1);
    const int line = tokens_.list.empty() ? 1 : tokens_.list[at].line;
    throw PtxError(fmt::format("{}: PTX line {}: {}", name_, line, escape(what)));
  }

  std::string_view peek(std::size_t ahead = 0) const {
    return next_ + ahead < tokens_.list.size() ? tokens_.list[next_ + ahead].text
                                               : std::string_view();
  }
  std::string_view take() {
    if (next_ >= tokens_.list.size()) fail("the text ends in the middle of a statement");
    return tokens_.list[next_++].text;
  }
  bool accept(std::string_view word) {
    if (peek() != word) return false;
    ++next_;
    return true;
  }
  void expect(std::string_view word) {
    if (!accept(word)) fail(fmt::format("expected '{}', found '{}'", word, peek()));
  }
  void skip_statement() {
    while (take() != ";") {
    }
  }

  std::uint32_t number() {
    const Operand o = primary();
    if (o.kind != Operand::Kind::kInteger) fail("expected a number");
    return static_cast<std::uint32_t>(o.value);
  }

  void top_level() {
    const std::string_view word = take();
    if (word == ".visible" || word == ".weak" || word == ".common") return;
    if (word == ".extern") return external();
    if (const auto space = parse_space(word)) {
      out_.variables.push_back(variable(*space, false));
      expect(";");
    } else if (word == ".entry" || word == ".func") {
      function(word == ".entry");
    } else if (word == ".pragma" || word == ".alias") {
      skip_statement();
    } else {
      --next_;
      fail(fmt::format("unknown directive '{}'", word));
    }
  }

  void external() {
    const std::string_view word = take();
    if (word == ".func") return skip_statement();
    const auto space = parse_space(word);
    if (!space) fail(fmt::format("unknown .extern {}", word));
    out_.variables.push_back(variable(*space, true));
    expect(";");
  }

  // What follows a state space: [.align n] .type name[[n]...] [= initialiser]
  Variable variable(Space space, bool external) {
    Variable v;
    v.space = space;
    v.external = external;
    Type type = Type::kNone;
    while (peek().starts_with(".") && peek().size() > 1) {
      const std::string_view word = take();
      if (word == ".align") {
        v.align = number();
        if (!std::has_single_bit(v.align) || v.align > kMostAlign)
          fail(fmt::format("an alignment of {}; it is a power of two up to {}", v.align,
                           kMostAlign));
      } else if (word != ".ptr" && !parse_space(word)) {
        type = parse_type(word.substr(1));
        if (type == Type::kNone) fail(fmt::format("unknown type '{}'", word));
      }
    }
    v.name = std::string(take());
    if (type == Type::kNone) fail(fmt::format("'{}' has no type", v.name));
    const auto element = static_cast<std::uint32_t>(size_of(type));
    v.type = type;
    v.size = element;
    while (accept("[")) {
      if (accept("]")) {
        v.size = 0;
        break;
      }
      if (__builtin_mul_overflow(v.size, number(), &v.size))
        fail(fmt::format("'{}' has more than 2^32 - 1 bytes", v.name));
      expect("]");
    }
    v.align = std::max({v.align, element, 1u});
    if (accept("=")) initialiser(v, element);
    if (v.initial.size() > v.size) fail(fmt::format("too many initial values of '{}'", v.name));
    return v;
  }

  void initialiser(Variable& v, std::uint32_t element) {
    const auto value = [&] {
      Operand o = primary();
      if (o.kind == Operand::Kind::kName) fail(fmt::format("a symbol initialises '{}'", v.name));
      if (v.type == Type::kF32 && o.kind == Operand::Kind::kFloat64)  // 1.5, as the decoder has it
        o.value = std::bit_cast<std::int32_t>(static_cast<float>(std::bit_cast<double>(o.value)));
      const std::size_t at = v.initial.size();
      v.initial.resize(at + element);
      std::memcpy(v.initial.data() + at, &o.value, std::min<std::size_t>(element, sizeof o.value));
    };
    if (!accept("{")) return value();
    for (int depth = 1; depth > 0;) {
      if (accept("}")) {
        --depth;
      } else if (accept("{")) {
        ++depth;
      } else if (!accept(",")) {
        value();
      }
    }
  }

  std::vector<Variable> parameter_list() {
    std::vector<Variable> list;
    expect("(");
    while (!accept(")")) {
      if (accept(",")) continue;
      if (!accept(".param") && !accept(".reg"))
        fail(fmt::format("a parameter begins with '.param', not with '{}'", peek()));
      list.push_back(variable(Space::kParam, false));
    }
    return list;
  }

  /// Whoever launches the kernel copies an argument into each.
  void check_kernel_parameters(const Function& f) const {
    std::uint64_t bytes = 0;
    for (const Variable& p : f.parameters) {
      if (p.size == 0) fail(fmt::format("parameter '{}' of '{}' has no bytes", p.name, f.name));
      bytes += p.size;
    }
    if (bytes > kMostParameterBytes)
      fail(fmt::format("'{}' has {} bytes of parameters; at most {} are allowed", f.name, bytes,
                       kMostParameterBytes));
  }

  void function(bool entry) {
    Function f;
    f.entry = entry;
    if (entry && peek() == "(") fail("a kernel has no name; it returns nothing");
    if (peek() == "(") f.returns = parameter_list();
    f.name = std::string(take());
    if (peek() == "(") f.parameters = parameter_list();
    if (entry) check_kernel_parameters(f);
    while (peek() != "{" && peek() != ";") directive(f);
    if (accept(";")) return;  // a declaration
    expect("{");
    f.scopes.emplace_back();
    int scope = 0;
    for (;;) {
      if (accept("{")) {
        f.scopes.emplace_back().parent = scope;
        scope = static_cast<int>(f.scopes.size()) - 1;
      } else if (accept("}")) {
        if (scope == 0) break;
        scope = f.scopes[static_cast<std::size_t>(scope)].parent;
      } else {
        body_item(f, scope);
      }
    }
    out_.functions[f.name] = std::move(f);
  }

  // Between a function's head and its body; .minnctapersm, .maxnreg, .noreturn are for ptxas alone.
  void directive(Function& f) {
    const std::string_view word = take();
    if (word == ".explicitcluster" || word == ".reqnctapercluster" ||
        word == ".blocksareclusters") {
      --next_;
      fail(fmt::format("clusters of blocks are not emulated: '{}'", word));
    }
    if (word != ".reqntid" && word != ".maxntid") return;
    std::vector<std::uint32_t>& block = word == ".reqntid" ? f.required_block : f.largest_block;
    do block.push_back(number());
    while (accept(","));
  }

  void body_item(Function& f, int scope) {
    Scope& s = f.scopes[static_cast<std::size_t>(scope)];
    if (peek(1) == ":") {
      std::string label(take());
      take();
      if (accept(".branchtargets")) {
        auto& targets = s.branch_targets[label];
        do targets.emplace_back(take());
        while (accept(","));
        return expect(";");
      }
      s.labels[label] = static_cast<int>(f.body.size());
    } else if (accept(".reg")) {
      registers(s);
    } else if (const auto space = parse_space(peek())) {
      take();
      Variable v = variable(*space, false);
      expect(";");
      s.variables[v.name] = std::move(v);
    } else if (peek() == ".pragma") {
      skip_statement();
    } else {
      f.body.push_back(statement(scope));
    }
  }

  void registers(Scope& s) {
    const std::string_view word = take();
    const Type type = parse_type(word.substr(std::min<std::size_t>(1, word.size())));
    if (type == Type::kNone) fail(fmt::format("unknown register type '{}'", word));
    do {
      RegisterRange range{std::string(take()), -1, type};
      if (accept("<")) {
        range.count = static_cast<int>(number());
        expect(">");
      }
      s.registers.push_back(std::move(range));
    } while (accept(","));
    expect(";");
  }

  Statement statement(int scope) {
    Statement s;
    s.scope = scope;
    if (next_ < tokens_.list.size()) {
      s.line = tokens_.list[next_].line;
      s.source = tokens_.list[next_].source;
    }
    if (accept("@")) {
      s.guard_negated = accept("!");
      s.guard = std::string(take());
    }
    std::string_view opcode = take();
    for (std::size_t dot; (dot = opcode.find('.')) != opcode.npos;) {
      s.words.emplace_back(opcode.substr(0, dot));
      opcode.remove_prefix(dot + 1);
    }
    s.words.emplace_back(opcode);
    for (const std::string& word : s.words) {
      if (const Type type = parse_type(word); type != Type::kNone) s.types.push_back(type);
    }
    while (!accept(";")) {
      if (!accept(",")) s.operands.push_back(operand());
    }
    return s;
  }

  /// Of brackets in brackets: more than any instruction has, fewer than the stack holds.
  static constexpr int kMostDepth = 16;

  Operand operand(int depth = 0) {
    if (depth > kMostDepth) fail("brackets are nested too deeply");
    if (accept("[")) return group(Operand::Kind::kAddress, "]", depth);
    if (accept("{")) return group(Operand::Kind::kVector, "}", depth);
    if (accept("(")) return group(Operand::Kind::kList, ")", depth);
    Operand first = primary();
    if (!accept("|")) return first;
    Operand pair;
    pair.kind = Operand::Kind::kPair;
    pair.parts = {std::move(first), primary()};
    return pair;
  }

  Operand group(Operand::Kind kind, std::string_view close, int depth) {
    Operand o;
    o.kind = kind;
    while (!accept(close)) {
      if (!accept(",")) o.parts.push_back(operand(depth + 1));
    }
    return o;
  }

  Operand primary() {
    const bool negated = accept("!"), minus = signs();
    const std::string word(take());
    Operand o;
    o.negated = negated;
    if (is_digit(word[0])) {
      literal(o, word, minus);
      return o;
    }
    if (word.size() == 1 && !in_name(word[0])) {
      --next_;
      fail(fmt::format("expected an operand, found '{}'", word));
    }
    o.name = word;
    if (peek() == "+" || (peek() == "-" && !peek(1).empty() && is_digit(peek(1)[0]))) {
      Operand offset;
      const bool minus_offset = signs();
      literal(offset, std::string(take()), minus_offset);
      if (offset.kind != Operand::Kind::kInteger) fail("an offset is an integer");
      o.value = offset.value;
    }
    return o;
  }

  /// Whether the signs that come next make a minus; nvcc writes [%rd1+-16].
  bool signs() {
    bool minus = false;
    for (;;) {
      if (accept("-")) {
        minus = !minus;
      } else if (!accept("+")) {
        return minus;
      }
    }
  }

  static bool in_name(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '%';
  }

  void literal(Operand& o, const std::string& word, bool minus) const {
    const char kind = word.size() > 1 && word[0] == '0' ? word[1] : ' ';
    char* end = nullptr;
    if ((kind == 'f' || kind == 'F') && word.size() == 10) {
      o.kind = Operand::Kind::kFloat32;
      o.value = static_cast<std::int64_t>(std::strtoull(word.c_str() + 2, &end, 16));
    } else if ((kind == 'd' || kind == 'D') && word.size() == 18) {
      o.kind = Operand::Kind::kFloat64;
      o.value = static_cast<std::int64_t>(std::strtoull(word.c_str() + 2, &end, 16));
    } else if (kind != 'x' && kind != 'X' && word.find('.') != word.npos) {
      o.kind = Operand::Kind::kFloat64;
      const double v = std::strtod(word.c_str(), &end);
      o.value = std::bit_cast<std::int64_t>(minus ? -v : v);
    } else {
      o.kind = Operand::Kind::kInteger;
      const std::uint64_t v = std::strtoull(word.c_str(), &end, 0);
      o.value = static_cast<std::int64_t>(minus ? 0 - v : v);
      if (*end == 'U') ++end;
    }
    if (end == word.c_str() || *end != '\0') fail(fmt::format("'{}' is no number", word));
  }

  std::string_view name_;
  Tokens tokens_;
  std::size_t next_ = 0;
  Syntax out_;
};

}  // namespace

int size_of(Type t) {
  for (const TypeName& n : kTypes) {
    if (n.type == t) return n.bytes;
  }
  return 0;
}

bool is_signed(Type t) {
  return t == Type::kS8 || t == Type::kS16 || t == Type::kS32 || t == Type::kS64;
}

bool is_float(Type t) { return t == Type::kF32 || t == Type::kF64; }

bool is_half(Type t) {
  return t == Type::kF16 || t == Type::kBf16 || t == Type::kF16x2 || t == Type::kBf16x2;
}

bool is_unsigned(Type t) {
  return t != Type::kNone && t != Type::kPred && t != Type::kTf32 && !is_signed(t) &&
         !is_float(t) && !is_half(t);
}

Type parse_type(std::string_view name) {
  for (const TypeName& n : kTypes) {
    if (n.name == name) return n.type;
  }
  return Type::kNone;
}

bool Statement::has(std::string_view word) const {
  return std::find(words.begin() + 1, words.end(), word) != words.end();
}

Syntax parse(std::string_view text, std::string_view name) { return Parser(text, name).run(); }

}  // namespace flashbench::ptx
