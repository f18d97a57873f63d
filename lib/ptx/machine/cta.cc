#include "ptx/machine/cta.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/enumerators.h"

namespace flashbench::ptx {
namespace {

std::uint32_t thread_count(Dim3 d) { return d.x * d.y * d.z; }
int warp_count(Dim3 d) { return static_cast<int>((thread_count(d) + kWarpSize - 1) / kWarpSize); }

}  // namespace

bool FindingLog::first(FindingKind kind, int ptx_line) {
  return seen_[{kind, ptx_line}]++ == 0 && list_.size() < most_;
}

void FindingLog::add(Finding f) { list_.push_back(std::move(f)); }

std::vector<Finding> FindingLog::take() {
  for (Finding& f : list_) {
    f.occurrences = std::max<std::uint64_t>(1, seen_[{f.kind, f.ptx_line}]);
  }
  return std::move(list_);
}

Cta::Cta(LaunchState& launch, Dim3 index, std::uint32_t number)
    : launch_(launch),
      kernel_(launch.kernel),
      index_(index),
      number_(number),
      threads_(thread_count(launch.block)),
      live_(threads_),
      random_(launch.options.seed * 0x9E3779B97F4A7C15u + index.x + index.y * 65599u +
              index.z * 7919u),
      shared_(launch.dynamic_bytes == 0 ? kernel_.static_shared_end
                                        : kernel_.dynamic_shared + launch.dynamic_bytes,
              warp_count(launch.block)) {
  const int warps = warp_count(launch.block);
  for (int i = 0; i < warps; ++i) {
    warps_.push_back(std::make_unique<Warp>());
    init_warp(*warps_.back(), i);
    order_.push_back(static_cast<std::size_t>(i));
  }
}

void Cta::init_warp(Warp& w, int id) {
  w.id = id;
  w.file = kernel_.image;
  w.defined = kernel_.defined;
  const std::uint32_t first = static_cast<std::uint32_t>(id) * kWarpSize;
  const std::uint32_t count = threads_ - first;
  w.alive = count >= kWarpSize ? kAllLanes : (LaneMask{1} << count) - 1;
  w.runnable = w.alive;
  w.clock[static_cast<std::size_t>(id)] = 1;
  if (kernel_.uses_wgmma) {
    w.wgmma.in_flight.assign(w.defined.size(), 0);
    w.wgmma.dirty.assign(w.defined.size(), 0);
  }
  w.local.assign(std::size_t{kernel_.local_bytes} * kWarpSize, 0xFF);
  w.local_written.assign(w.local.size(), 0);
  w.call_space.assign(std::size_t{kernel_.call_bytes} * kWarpSize, 0);
  for (const auto& [which, row] : kernel_.specials) {
    for (int lane = 0; lane < kWarpSize; ++lane) {
      const std::uint32_t v = special(which.first, first + static_cast<std::uint32_t>(lane));
      w.set_wide(row, lane, which.second, v);
    }
  }
}

std::uint32_t Cta::special(Special s, std::uint32_t thread) const {
  const Dim3 b = launch_.block, g = launch_.grid;
  const std::uint32_t lane = thread % kWarpSize;
  switch (s) {
    case Special::kTidX:
      return thread % b.x;
    case Special::kTidY:
      return thread / b.x % b.y;
    case Special::kTidZ:
      return thread / b.x / b.y;
    case Special::kNtidX:
      return b.x;
    case Special::kNtidY:
      return b.y;
    case Special::kNtidZ:
      return b.z;
    case Special::kCtaidX:
      return index_.x;
    case Special::kCtaidY:
      return index_.y;
    case Special::kCtaidZ:
      return index_.z;
    case Special::kNctaidX:
      return g.x;
    case Special::kNctaidY:
      return g.y;
    case Special::kNctaidZ:
      return g.z;
    case Special::kLaneId:
      return lane;
    case Special::kWarpId:
      return thread / kWarpSize;
    case Special::kNwarpId:
      return static_cast<std::uint32_t>(warp_count(b));
    case Special::kSmId:
      return number_ % 132;
    case Special::kNsmId:
      return 132;
    case Special::kLaneMaskEq:
      return 1u << lane;
    case Special::kLaneMaskLt:
      return (1u << lane) - 1;
    case Special::kLaneMaskLe:
      return (2u << lane) - 1;
    case Special::kLaneMaskGt:
      return ~((2u << lane) - 1);
    case Special::kLaneMaskGe:
      return ~((1u << lane) - 1);
    case Special::kDynamicSharedBytes:
      return launch_.dynamic_bytes;
    case Special::kTotalSharedBytes:
      return kernel_.dynamic_shared - kSharedBase + launch_.dynamic_bytes;
    case Special::kOne:
      return 1;
    case Special::kClock:
    case Special::kClock64:
    case Special::kZero:
      return 0;
  }
  no_such_enumerator();
}

bool Cta::round() {
  std::shuffle(order_.begin(), order_.end(), random_);
  const std::uint64_t before = progress_;
  const bool could_run =
      std::any_of(warps_.begin(), warps_.end(), [](const auto& w) { return w->runnable != 0; });
  if (live_ != 0 && !could_run && pending_loads_.empty()) {
    const Instruction nowhere;
    Warp& any = *warps_.front();
    Finding f = make_finding(FindingKind::kDeadlock, {any, nowhere},
                             "no thread can run: " + who_waits_where());
    f.warp = -1;
    f.fatal = true;
    throw Fault{std::move(f)};
  }
  for (const std::size_t i : order_) run_slice(*warps_[i]);
  if (!pending_loads_.empty()) complete_pending_loads(!could_run);
  idle_rounds_ = progress_ == before ? idle_rounds_ + 1 : 0;
  // No exit, barrier or store in so many rounds: the threads only spin.
  if (idle_rounds_ > 20'000) {
    const Instruction nowhere;
    Warp& any = *warps_.front();
    Finding f = make_finding(FindingKind::kLivelock, {any, nowhere},
                             "threads spin without progress: " + who_waits_where());
    f.warp = -1;
    f.fatal = true;
    throw Fault{std::move(f)};
  }
  if (live_ == 0 && !pending_loads_.empty()) {
    const Instruction nowhere;
    report(FindingKind::kAsync, {*warps_.front(), nowhere},
           [] { return std::string("all threads have exited while bulk loads are in flight"); });
  }
  return live_ != 0;
}

std::vector<Warp*> Cta::warpgroup(const Warp& w) const {
  std::vector<Warp*> group;
  const auto first = static_cast<std::size_t>(w.id / 4 * 4);
  for (std::size_t i = first; i < std::min(first + 4, warps_.size()); ++i) {
    group.push_back(warps_[i].get());
  }
  return group;
}

Finding Cta::make_finding(FindingKind kind, const Site& at, std::string message) const {
  Finding f;
  f.kind = kind;
  f.message = std::move(message);
  f.kernel = kernel_.name;
  f.cta = index_;
  f.warp = at.warp.id;
  f.lane = at.lane;
  if (at.ins.line > 0) {
    f.file = kernel_.program->file_name(at.ins.source.file);
    f.line = at.ins.source.line;
    f.caller_file = kernel_.program->file_name(at.ins.source.caller_file);
    f.caller_line = at.ins.source.caller_line;
    f.ptx_line = at.ins.line;
    f.instruction = kernel_.program->text_of(at.ins.line);
  }
  return f;
}

void Cta::fail(FindingKind kind, const Site& at, std::string message) const {
  Finding f = make_finding(kind, at, std::move(message));
  f.fatal = true;
  throw Fault{std::move(f)};
}

std::string Cta::agent_name(int agent) const {
  const int warps = static_cast<int>(warps_.size());
  return agent < warps ? fmt::format("warp {}", agent)
                       : fmt::format("the async proxy (mbarrier {})", agent - warps);
}

std::string Cta::who_waits_where() const {
  std::string s;
  int described = 0;
  for (const auto& w : warps_) {
    std::map<int, LaneMask> at;
    for_lanes(w->alive, [&](int i) { at[w->pc[static_cast<std::size_t>(i)]] |= 1u << i; });
    for (const auto& [pc, lanes] : at) {
      if (++described > 12) return s + "; ...";
      // The program counter of a lane that a barrier blocks is already past it.
      const bool behind = (w->runnable & lanes) == 0 && (w->collecting & lanes) == 0 && pc > 0 &&
                          kernel_.code[static_cast<std::size_t>(pc - 1)].blocks &&
                          !kernel_.code[static_cast<std::size_t>(pc)].retries;
      const Instruction& ins = kernel_.code[static_cast<std::size_t>(behind ? pc - 1 : pc)];
      const std::string file = kernel_.program->file_name(ins.source.file);
      s += fmt::format("{}warp {} lanes {:08x} at '{}'", s.empty() ? "" : "; ", w->id, lanes,
                       kernel_.program->text_of(ins.line));
      if (!file.empty()) s += fmt::format(" ({}:{})", file, ins.source.line);
    }
  }
  return s;
}

std::string Program::text_of(int line) const {
  if (line < 1 || static_cast<std::size_t>(line) > syntax.lines.size()) return "";
  const std::string& s = syntax.lines[static_cast<std::size_t>(line) - 1];
  const std::size_t first = s.find_first_not_of(" \t");
  return first == s.npos ? "" : s.substr(first, 120);
}

std::string Program::file_name(int file) const {
  const auto it = syntax.files.find(file);
  return it == syntax.files.end() ? "" : it->second.substr(it->second.rfind('/') + 1);
}

}  // namespace flashbench::ptx
