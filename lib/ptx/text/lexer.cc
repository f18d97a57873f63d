#include "ptx/text/lexer.h"

#include <array>
#include <charconv>
#include <map>

namespace flashbench::ptx {
namespace {

bool in_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         c == '$' || c == '%' || c == '.';
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v'; }

// The next integer of `s`, which loses what was read; 0 if there is none.
int take_int(std::string_view& s) {
  while (!s.empty() && is_space(s.front())) s.remove_prefix(1);
  int value = 0;
  const auto end = std::from_chars(s.data(), s.data() + s.size(), value).ptr;
  s.remove_prefix(static_cast<std::size_t>(end - s.data()));
  return value;
}

class Lexer {
 public:
  Tokens run(std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      const std::string_view line = text.substr(0, end);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      out_.lines.emplace_back(line);
      const std::size_t first = line.find_first_not_of(" \t\r");
      if (first != std::string_view::npos) take_line(line.substr(first));
    }
    return std::move(out_);
  }

 private:
  void take_line(std::string_view s) {
    if (!in_comment_ && s.starts_with(".section")) in_section_ = true;
    if (in_section_) {
      in_section_ = !s.starts_with("}");
      return;
    }
    if (!in_comment_ && take_directive(s)) return;
    take_tokens(s);
  }

  bool take_directive(std::string_view s) {
    const auto after = [&](std::string_view word) {
      if (!s.starts_with(word) || s.size() == word.size() || !is_space(s[word.size()]))
        return false;
      s.remove_prefix(word.size());
      return true;
    };
    if (after(".loc")) {
      take_location(s);
      return true;
    }
    if (after(".file")) {
      const int number = take_int(s);
      const std::size_t open = s.find('"');
      const std::size_t close = open == s.npos ? s.npos : s.find('"', open + 1);
      if (close != s.npos) out_.files[number] = std::string(s.substr(open + 1, close - open - 1));
      return true;
    }
    if (after(".target")) {
      const std::size_t sm = s.find("sm_");
      if (sm != s.npos) {
        s.remove_prefix(sm + 3);
        out_.target = take_int(s);
        out_.target_is_exact = s.starts_with('a');
      }
      return true;
    }
    return after(".version") || after(".address_size");
  }

  // .loc file line column[, function_name label, inlined_at file line column]. What is inlined
  // twice names a line that a .loc before it says to be inlined itself.
  void take_location(std::string_view s) {
    const auto take_place = [&] {
      const int file = take_int(s), line = take_int(s);
      return Place{file, line, take_int(s)};
    };
    const Place here = take_place();
    source_ = {here[0], here[1], 0, 0};
    constexpr std::string_view kInlined = "inlined_at";
    const std::size_t at = s.find(kInlined);
    if (at == s.npos) return;
    s.remove_prefix(at + kInlined.size());
    Place caller = take_place();
    inlined_[here] = caller;
    for (int depth = 0; depth < 32; ++depth) {
      const auto outer = inlined_.find(caller);
      if (outer == inlined_.end() || outer->second == caller) break;
      caller = outer->second;
    }
    source_.caller_file = caller[0];
    source_.caller_line = caller[1];
  }

  void take_tokens(std::string_view s) {
    for (std::size_t i = 0; i < s.size();) {
      if (in_comment_) {
        const std::size_t end = s.find("*/", i);
        if (end == s.npos) return;
        in_comment_ = false;
        i = end + 2;
      } else if (is_space(s[i])) {
        ++i;
      } else if (s.substr(i, 2) == "//") {
        return;
      } else if (s.substr(i, 2) == "/*") {
        in_comment_ = true;
        i += 2;
      } else {
        const std::size_t n = token_length(s.substr(i));
        const int line = static_cast<int>(out_.lines.size());
        out_.list.push_back({s.substr(i, n), line, source_});
        i += n;
      }
    }
  }

  static std::size_t token_length(std::string_view s) {
    if (s[0] == '"') {
      const std::size_t close = s.find('"', 1);
      return close == s.npos ? s.size() : close + 1;
    }
    std::size_t n = 0;
    for (;;) {
      if (n < s.size() && in_word(s[n])) {
        ++n;
      } else if (n > 0 && s.substr(n, 2) == "::") {
        n += 2;
      } else {
        return n == 0 ? 1 : n;
      }
    }
  }

  using Place = std::array<int, 3>;  // file, line, column
  Tokens out_;
  SourceLine source_;
  std::map<Place, Place> inlined_;
  bool in_section_ = false, in_comment_ = false;
};

}  // namespace

Tokens tokenize(std::string_view text) { return Lexer().run(text); }

}  // namespace flashbench::ptx
