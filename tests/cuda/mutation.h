#pragma once

#include <fstream>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

/// Planting a bug into a kernel's PTX by what the line of CUDA source that it came from says, so
/// that neither register numbers nor the compiler's version matter.
namespace flashbench::cuda {

/// Replaces instructions of one kernel.
struct Mutation {
  std::string entry;   ///< the kernel
  std::string file;    ///< its source; empty: wherever an instruction comes from
  std::string source;  ///< text in the line of `file` that the instruction, or its caller, is on
  std::string instruction;  ///< regular expression, matched against one line of PTX
  std::string replacement;  ///< of what matched, in std::regex_replace's format; may be ""
  int occurrence = 0;       ///< which match, counted from 0; kAll: every one
  static constexpr int kAll = -1;
};

/// A place in a source, as .loc names it: index of the .file, line.
using Place = std::pair<int, int>;

/// The places whose line of `file` (in lib/cuda, or lib) holds `source`.
inline std::set<Place> places_of(const std::string& ptx, const Mutation& m,
                                 const std::string& root) {
  std::ifstream in(root + "/lib/cuda/" + m.file);
  if (!in) in.open(root + "/lib/" + m.file);
  if (!in) throw std::invalid_argument("no source " + m.file);
  std::set<int> lines, files;
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.find(m.source) != std::string::npos) lines.insert(number);
  }
  if (lines.empty()) throw std::invalid_argument("no line of " + m.file + " has " + m.source);
  for (std::size_t at = ptx.find("\n\t.file"); at != std::string::npos;
       at = ptx.find("\n\t.file", at + 1)) {
    const std::string line = ptx.substr(at + 1, ptx.find('\n', at + 1) - at - 1);
    if (line.find("/" + m.file + "\"") != std::string::npos)
      files.insert(std::stoi(line.substr(6)));
  }
  std::set<Place> places;
  for (const int f : files)
    for (const int l : lines) places.emplace(f, l);
  return places;
}

/// The place of a .loc line and, where it is inlined, of the caller.
inline std::set<Place> places_in(const std::string& loc) {
  std::set<Place> places;
  const auto read = [&](std::size_t at) {
    std::istringstream numbers(loc.substr(at));
    int file = 0, line = 0;
    if (numbers >> file >> line) places.emplace(file, line);
  };
  read(loc.find(".loc") + 4);
  if (const std::size_t at = loc.find("inlined_at"); at != std::string::npos) read(at + 10);
  return places;
}

/// The PTX with the mutation; nullopt when no instruction matches. `root` is the project's folder.
inline std::optional<std::string> mutated(const std::string& ptx, const Mutation& m,
                                          const std::string& root) {
  const std::set<Place> wanted = m.file.empty() ? std::set<Place>{} : places_of(ptx, m, root);
  const std::regex instruction(m.instruction);
  const std::size_t begin = ptx.find(".entry " + m.entry + "(");
  if (begin == std::string::npos) throw std::invalid_argument("no kernel " + m.entry);
  // A brace alone on a line may also end a block of inline assembly.
  const std::size_t end = std::min(ptx.find("\n.visible .entry ", begin), ptx.size());
  std::string body;
  bool here = wanted.empty();
  int matches = 0;
  std::istringstream lines(ptx.substr(begin, end - begin));
  for (std::string line; std::getline(lines, line); body += line + "\n") {
    if (line.find(".loc\t") != std::string::npos && !wanted.empty()) {
      here = false;
      for (const Place& p : places_in(line)) here |= wanted.contains(p);
    } else if (here && std::regex_search(line, instruction)) {
      if (m.occurrence == Mutation::kAll || matches == m.occurrence)
        line = std::regex_replace(line, instruction, m.replacement);
      ++matches;
    }
  }
  if (matches == 0 || m.occurrence >= matches) return std::nullopt;
  return ptx.substr(0, begin) + body + ptx.substr(end);
}

}  // namespace flashbench::cuda
