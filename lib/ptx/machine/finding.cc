#include "ptx/machine/finding.h"

#include <cxxabi.h>
#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <memory>

#include "core/enumerators.h"
#include "ptx/machine/counters.h"

namespace flashbench::ptx {
namespace {

/// A C++ kernel's name as its source has it: without the arguments of templates, which may be
/// hundreds of letters long, and without those of the function.
std::string readable(const std::string& kernel) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> whole(
      abi::__cxa_demangle(kernel.c_str(), nullptr, nullptr, &status), std::free);
  if (!kernel.starts_with("_Z") || whole == nullptr) return kernel;
  std::string source = whole.get(), name;
  constexpr std::string_view kUnnamed = "(anonymous namespace)::";
  for (std::size_t at; (at = source.find(kUnnamed)) != std::string::npos;)
    source.erase(at, kUnnamed.size());
  int depth = 0;
  for (const char c : source) {
    if (c == '<' || c == '(') ++depth;
    if (depth == 0) name += c;
    if (c == '>' || c == ')') --depth;
  }
  return name.substr(name.rfind(' ') + 1);  // behind the type that a template returns
}

}  // namespace

std::string_view name(FindingKind kind) {
  switch (kind) {
    case FindingKind::kOutOfBounds:
      return "out of bounds";
    case FindingKind::kMisaligned:
      return "misaligned";
    case FindingKind::kUninitialised:
      return "uninitialised";
    case FindingKind::kRace:
      return "race";
    case FindingKind::kAsync:
      return "asynchronous copy";
    case FindingKind::kProxy:
      return "missing proxy fence";
    case FindingKind::kWgmma:
      return "wgmma";
    case FindingKind::kBarrier:
      return "barrier";
    case FindingKind::kInvalid:
      return "invalid operand";
    case FindingKind::kDeadlock:
      return "deadlock";
    case FindingKind::kLivelock:
      return "livelock";
    case FindingKind::kTrap:
      return "trap";
  }
  no_such_enumerator();
}

std::string Finding::text() const {
  std::string s = fmt::format("{} in {}", ptx::name(kind), readable(kernel));
  if (!file.empty()) {
    s += fmt::format(" ({}:{}", file, line);
    if (!caller_file.empty()) s += fmt::format(", inlined at {}:{}", caller_file, caller_line);
    s += ")";
  }
  s += fmt::format(", CTA ({},{},{})", cta.x, cta.y, cta.z);
  if (warp >= 0) s += fmt::format(", warp {}", warp);
  if (lane >= 0) s += fmt::format(", lane {}", lane);
  s += ": " + message;
  if (ptx_line > 0) s += fmt::format(" [PTX line {}: {}]", ptx_line, instruction);
  if (occurrences > 1) s += fmt::format(" ({} times)", occurrences);
  return s;
}

std::string text(const std::vector<Finding>& findings) {
  std::string text = "the emulated device found: " + findings.front().text();
  if (findings.size() > 1) text += fmt::format("; and {} more", findings.size() - 1);
  return text;
}

std::string_view name(InstructionClass c) {
  constexpr std::array<std::string_view, static_cast<std::size_t>(InstructionClass::kCount)>
      kNames = {"integer",    "f32/f64", "f16/bf16", "special function", "convert", "move",
                "compare",    "control", "memory",   "atomic",           "warp",    "barrier",
                "async copy", "matrix"};
  return kNames[static_cast<std::size_t>(c)];
}

std::vector<std::pair<std::string, std::uint64_t>> named(const Counters& c) {
  std::vector<std::pair<std::string, std::uint64_t>> all = {
      {"thread_instructions", c.thread_instructions}};
  for (std::size_t i = 0; i < c.by_class.size(); ++i)
    all.emplace_back(fmt::format("instructions: {}", name(static_cast<InstructionClass>(i))),
                     c.by_class[i]);
  const std::pair<const char*, std::uint64_t> rest[] = {
      {"bytes: global read", c.global_read_bytes},
      {"bytes: global written", c.global_written_bytes},
      {"bytes: shared read", c.shared_read_bytes},
      {"bytes: shared written", c.shared_written_bytes},
      {"bytes: local read", c.local_read_bytes},
      {"bytes: local written", c.local_written_bytes},
      {"barriers", c.barriers},
      {"matrix FLOP", c.matrix_flop},
      {"blocks", c.ctas}};
  all.insert(all.end(), std::begin(rest), std::end(rest));
  std::erase_if(all, [](const auto& entry) { return entry.second == 0; });
  return all;
}

Counters& Counters::operator+=(const Counters& other) {
  warp_instructions += other.warp_instructions;
  thread_instructions += other.thread_instructions;
  for (std::size_t i = 0; i < by_class.size(); ++i) by_class[i] += other.by_class[i];
  global_read_bytes += other.global_read_bytes;
  global_written_bytes += other.global_written_bytes;
  shared_read_bytes += other.shared_read_bytes;
  shared_written_bytes += other.shared_written_bytes;
  local_read_bytes += other.local_read_bytes;
  local_written_bytes += other.local_written_bytes;
  barriers += other.barriers;
  matrix_flop += other.matrix_flop;
  ctas += other.ctas;
  return *this;
}

}  // namespace flashbench::ptx
