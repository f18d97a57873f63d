#include "guest/expression.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "system/error.h"
#include "system/quote.h"

namespace flashbench::guest {
namespace {

/// More than anybody writes; a sum is evaluated a call deeper with each of its terms.
constexpr std::size_t kMostLength = 1000;

}  // namespace

class ExpressionParser {
 public:
  ExpressionParser(Expression& to, const std::vector<std::string>& names)
      : to_(to), names_(names), rest_(to.text_) {}

  void run() {
    sum(0);
    skip_blanks();
    if (!rest_.empty()) to_.fail(fmt::format("unexpected {}", quote(rest_.substr(0, 20))));
  }

 private:
  using Op = Expression::Op;
  /// Of brackets in brackets: more than anybody writes, fewer than the stack holds.
  static constexpr int kMostDepth = 32;

  void skip_blanks() {
    while (rest_.starts_with(' ')) rest_.remove_prefix(1);
  }
  bool accept(char c) {
    skip_blanks();
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) to_.fail(fmt::format("'{}' is missing", c));
  }
  std::size_t add(Expression::Node node) {
    to_.nodes_.push_back(std::move(node));
    return to_.nodes_.size() - 1;
  }
  std::size_t pair(Op op, std::size_t left, std::size_t right) {
    return add({.op = op, .left = left, .right = right});
  }

  std::size_t sum(int depth) {
    if (depth > kMostDepth) to_.fail("brackets are nested too deeply");
    std::size_t left = product(depth);
    for (;;) {
      if (accept('+'))
        left = pair(Op::kAdd, left, product(depth));
      else if (accept('-'))
        left = pair(Op::kSubtract, left, product(depth));
      else
        return left;
    }
  }
  std::size_t product(int depth) {
    std::size_t left = factor(depth);
    for (;;) {
      if (accept('*'))
        left = pair(Op::kMultiply, left, factor(depth));
      else if (accept('/'))
        left = pair(Op::kDivide, left, factor(depth));
      else
        return left;
    }
  }
  std::size_t factor(int depth) {
    if (depth > kMostDepth) to_.fail("brackets are nested too deeply");
    if (accept('-')) {
      const std::size_t zero = add({.op = Op::kNumber});
      return pair(Op::kSubtract, zero, factor(depth + 1));
    }
    if (accept('(')) {
      const std::size_t inner = sum(depth + 1);
      expect(')');
      return inner;
    }
    skip_blanks();
    const auto is_letter = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    };
    if (!rest_.empty() && is_letter(rest_.front())) return name_or_call(depth, is_letter);
    return number();
  }

  template <typename F>
  std::size_t name_or_call(int depth, F is_letter) {
    std::size_t length = 1;
    while (length < rest_.size() &&
           (is_letter(rest_[length]) || (rest_[length] >= '0' && rest_[length] <= '9')))
      ++length;
    const std::string name(rest_.substr(0, length));
    rest_.remove_prefix(length);
    if (!accept('(')) {
      if (std::find(names_.begin(), names_.end(), name) == names_.end())
        to_.fail(
            fmt::format("unknown name {}; it may be {}", quote(name), fmt::join(names_, ", ")));
      return add({.op = Op::kName, .name = name});
    }
    const std::map<std::string_view, Op> calls = {
        {"min", Op::kMin}, {"max", Op::kMax}, {"ceil_div", Op::kCeilDivide}};
    const auto call = calls.find(name);
    if (call == calls.end())
      to_.fail(fmt::format("unknown function {}; it may be min, max, ceil_div", quote(name)));
    const std::size_t left = sum(depth + 1);
    expect(',');
    const std::size_t right = sum(depth + 1);
    expect(')');
    return pair(call->second, left, right);
  }

  std::size_t number() {
    double value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc() || !std::isfinite(value))
      to_.fail(rest_.empty() ? "it ends too early"
                             : fmt::format("unexpected {}", quote(rest_.substr(0, 20))));
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return add({.op = Op::kNumber, .number = value});
  }

  Expression& to_;
  const std::vector<std::string>& names_;
  std::string_view rest_;
};

Expression::Expression(std::string_view text, const std::vector<std::string>& names,
                       std::string where)
    : where_(std::move(where)), text_(text) {
  if (text.size() > kMostLength)
    throw UsageError(fmt::format("{}: a formula of {} characters; at most {} are read", where_,
                                 text.size(), kMostLength));
  ExpressionParser(*this, names).run();
}

void Expression::fail(const std::string& why) const {
  throw UsageError(fmt::format("{}: {}: {}", where_, quote(text_), why));
}

std::int64_t Expression::integer(const Variables& variables) const {
  return integer(nodes_.size() - 1, variables);
}

double Expression::real(const Variables& variables) const {
  const double value = real(nodes_.size() - 1, variables);
  if (!std::isfinite(value)) fail("it has no finite value");
  return value;
}

std::uint64_t Expression::count(const Variables& variables) const {
  const std::int64_t n = integer(variables);
  if (n < 0) fail(fmt::format("it is {}, and counts something", n));
  return static_cast<std::uint64_t>(n);
}

std::int64_t Expression::integer(std::size_t node, const Variables& variables) const {
  const Node& n = nodes_[node];
  if (n.op == Op::kNumber || n.op == Op::kName) {
    const double value = n.op == Op::kNumber ? n.number : variables.at(n.name);
    if (value != std::floor(value) || std::abs(value) > 9e15)
      fail(fmt::format("{} is no integer", n.op == Op::kName ? n.name : fmt::format("{}", value)));
    return static_cast<std::int64_t>(value);
  }
  const std::int64_t x = integer(n.left, variables), y = integer(n.right, variables);
  std::int64_t result = 0;
  bool leaves = false;
  switch (n.op) {
    case Op::kNumber:
    case Op::kName:
      break;
    case Op::kAdd:
      leaves = __builtin_add_overflow(x, y, &result);
      break;
    case Op::kSubtract:
      leaves = __builtin_sub_overflow(x, y, &result);
      break;
    case Op::kMultiply:
      leaves = __builtin_mul_overflow(x, y, &result);
      break;
    case Op::kDivide:
    case Op::kCeilDivide:
      if (y <= 0) fail(fmt::format("it divides by {}", y));
      result = x / y;
      if (n.op == Op::kDivide && x % y < 0) --result;
      if (n.op == Op::kCeilDivide && x % y > 0) ++result;
      break;
    case Op::kMin:
      result = std::min(x, y);
      break;
    case Op::kMax:
      result = std::max(x, y);
      break;
  }
  if (leaves) fail("it does not fit into 64 bits");
  return result;
}

double Expression::real(std::size_t node, const Variables& variables) const {
  const Node& n = nodes_[node];
  if (n.op == Op::kNumber) return n.number;
  if (n.op == Op::kName) return variables.at(n.name);
  const double x = real(n.left, variables), y = real(n.right, variables);
  switch (n.op) {
    case Op::kAdd:
      return x + y;
    case Op::kSubtract:
      return x - y;
    case Op::kMultiply:
      return x * y;
    case Op::kDivide:
      return x / y;
    case Op::kCeilDivide:
      return std::ceil(x / y);
    case Op::kMin:
      return std::min(x, y);
    case Op::kMax:
    case Op::kNumber:
    case Op::kName:
      return std::max(x, y);
  }
  return 0;
}

}  // namespace flashbench::guest
