#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace flashbench::guest {

/// What a name in an expression stands for.
using Variables = std::map<std::string, double, std::less<>>;

/// A formula of a launch description: numbers, names, + - * /, brackets, min(x, y), max(x, y),
/// ceil_div(x, y). Nothing else is known.
class Expression {
 public:
  /// Throws UsageError, which begins with `where`, for what is none, and for names that are not
  /// among `names`.
  Expression(std::string_view text, const std::vector<std::string>& names, std::string where);

  /// Of integers: / rounds down. Throws UsageError where it divides by zero, leaves 64 bits, or a
  /// name stands for a fraction.
  std::int64_t integer(const Variables& variables) const;
  /// Throws UsageError where that is infinite or no number.
  double real(const Variables& variables) const;
  /// integer() of what is counted. Throws UsageError where it is negative, too.
  std::uint64_t count(const Variables& variables) const;

 private:
  enum class Op : std::uint8_t {
    kNumber,
    kName,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kCeilDivide,
    kMin,
    kMax
  };
  struct Node {
    Op op;
    double number = 0;
    std::string name = {};
    std::size_t left = 0, right = 0;
  };
  friend class ExpressionParser;

  std::int64_t integer(std::size_t node, const Variables& variables) const;
  double real(std::size_t node, const Variables& variables) const;
  [[noreturn]] void fail(const std::string& why) const;

  std::string where_, text_;
  std::vector<Node> nodes_;  ///< the last is the whole
};

}  // namespace flashbench::guest
