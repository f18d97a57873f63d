#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ptx/text/syntax.h"

namespace flashbench::ptx {

struct Token {
  std::string_view text;
  int line = 0;
  SourceLine source;  ///< of the last .loc
};

/// Tokens of PTX text. Debug sections, .loc, .file, .version and .target end no statement with a
/// semicolon and are taken line by line here. The tokens point into `text`.
struct Tokens {
  std::vector<Token> list;
  std::map<int, std::string> files;
  std::vector<std::string> lines;
  int target = 0;
  bool target_is_exact = false;
};

Tokens tokenize(std::string_view text);

}  // namespace flashbench::ptx
