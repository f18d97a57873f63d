#pragma once

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ptx/machine/async_proxy.h"
#include "ptx/machine/global_memory.h"
#include "ptx/machine/kernel.h"
#include "ptx/machine/options.h"
#include "ptx/machine/shared_memory.h"
#include "ptx/machine/warp.h"

namespace flashbench::ptx {

/// Generic addresses: the top byte tells the space; global addresses have 0 there.
constexpr int kSpaceShift = 56;
constexpr std::uint64_t window(Space s) {
  return s == Space::kShared  ? std::uint64_t{1} << kSpaceShift
         : s == Space::kLocal ? std::uint64_t{2} << kSpaceShift
         : s == Space::kParam ? std::uint64_t{3} << kSpaceShift
                              : 0;
}

/// Thrown by a fatal finding; ends the launch.
struct Fault {
  Finding finding;
};

/// Findings of a launch, each kind once per PTX line.
class FindingLog {
 public:
  explicit FindingLog(int most) : most_(static_cast<std::size_t>(most)) {}
  /// True the first time; later ones are only counted.
  bool first(FindingKind kind, int ptx_line);
  void add(Finding f);
  std::vector<Finding> take();

 private:
  std::size_t most_;
  std::vector<Finding> list_;
  std::map<std::pair<FindingKind, int>, std::uint64_t> seen_;
};

/// What the CTAs of a launch share.
struct LaunchState {
  const Kernel& kernel;
  GlobalMemory& global;
  const DeviceOptions& options;
  Dim3 grid, block;
  std::uint32_t dynamic_bytes = 0;
  std::vector<std::uint8_t> parameters;
  std::uint32_t first_cta = 0;  ///< number of the launch's first CTA, see GlobalWord
  FindingLog log;
  Counters counters;
  std::vector<std::uint64_t> warp_counts, lane_counts;  ///< by instruction
};

/// Whose access it is. lane -1: the warp as a whole.
struct Site {
  Warp& warp;
  const Instruction& ins;
  int lane = -1;
};

enum class Access : std::uint8_t { kRead, kWrite, kAtomic };

/// A block of threads: its warps take turns, every access is checked.
class Cta {
 public:
  Cta(LaunchState& launch, Dim3 index, std::uint32_t number);

  /// A turn of every warp, in random order. False when all threads have exited.
  /// Throws Fault.
  bool round();

  // ---- for the handlers of instructions
  const std::uint8_t* read(const Site& at, std::uint64_t address, std::uint32_t bytes, Space space);
  void write(const Site& at, std::uint64_t address, std::uint32_t bytes, Space space,
             const void* from);
  /// The bytes of an atomic read-modify-write.
  std::uint8_t* atomic(const Site& at, std::uint64_t address, std::uint32_t bytes, Space space);
  /// Bytes of shared memory without the check for races; the bounds are checked.
  std::uint8_t* shared_bytes(const Site& at, std::uint32_t offset, std::uint32_t bytes);
  void check_shared_read(const Site& at, std::uint32_t offset, std::uint32_t bytes, bool atomic);
  /// `from` is what will be written, or null if unknown.
  void check_shared_write(const Site& at, std::uint32_t offset, std::uint32_t bytes,
                          const void* from, bool atomic);
  void mark_shared_write(const Site& at, std::uint32_t offset, std::uint32_t bytes, bool atomic);

  /// Lanes of a warp reach barrier `id`. `threads` 0: all of the CTA.
  void arrive(const Site& at, LaneMask lanes, std::uint32_t id, std::uint32_t threads, bool wait);
  /// Adds a predicate to what barrier `id` reduces; call before arrive.
  void reduce(const Site& at, LaneMask lanes, std::uint32_t id, LaneMask predicate);
  // ---- the async proxy, see mbarriers.cc
  MBarrier& mbarrier(const Site& at, std::uint32_t offset);
  void init_mbarrier(const Site& at, std::uint32_t offset, std::uint32_t count);
  void invalidate_mbarrier(const Site& at, std::uint32_t offset);
  void arrive_at_mbarrier(const Site& at, std::uint32_t offset, std::uint32_t arrivals);
  /// Completes the phase of an mbarrier that has all arrivals and bytes.
  void end_phase(std::uint32_t offset);
  void add_pending_load(std::function<void()> run);
  std::size_t pending_loads() const { return pending_loads_.size(); }
  void mark_async_write(std::uint32_t offset, std::uint32_t bytes, const MBarrier& b, int line);
  /// Whether a fence stands between a generic write and the async proxy's use.
  bool visible_to_async(const Warp& w, const SharedWord& s) const;
  void check_async_read(const Site& at, std::uint32_t offset, std::uint32_t bytes);
  /// The warps of w's warpgroup.
  std::vector<Warp*> warpgroup(const Warp& w) const;

  void memory_fence();  ///< orders earlier and later strong accesses of this CTA
  /// Fails where `in_flight` copies or products are more than any kernel waits for.
  void limit_in_flight(const Site& at, std::size_t in_flight) const;
  void complete_copies(Warp& w, LaneMask lanes, std::uint32_t groups_left);

  void wake(Warp& w, LaneMask lanes) {
    w.runnable |= lanes;
    ++progress_;
  }
  /// Publishes what the warp did so far to a synchronisation object.
  static void release(Warp& w, Clock& object) {
    join(object, w.clock);
    ++w.clock[static_cast<std::size_t>(w.id)];
  }

  [[noreturn]] void fail(FindingKind kind, const Site& at, std::string message) const;
  /// Notes a finding; `message` is called only if it is the first of its kind at this line.
  template <class F>
  void report(FindingKind kind, const Site& at, F message) {
    if (launch_.log.first(kind, at.ins.line)) {
      launch_.log.add(make_finding(kind, at, message()));
    }
  }

  LaunchState& launch() { return launch_; }
  std::mt19937_64& random() { return random_; }
  SharedMemory& shared() { return shared_; }
  Counters& counters() { return launch_.counters; }

 private:
  struct Waiting {
    Warp* warp;
    LaneMask lanes;
    const Instruction* ins;
  };
  struct Barrier {
    std::uint32_t arrived = 0, expected = 0, ones = 0;
    bool all = false;
    Clock clock{};
    std::vector<Waiting> waiting, reductions;
  };
  struct Group {  ///< lanes of a warp at the same instruction
    LaneMask lanes;
    int pc;
    int meets;  ///< the next instruction where other lanes wait to join
  };

  void init_warp(Warp& w, int id);
  std::uint32_t special(Special s, std::uint32_t thread) const;
  void run_slice(Warp& w);
  Group pick_group(Warp& w) const;
  /// Runs the group until it blocks, splits or meets other lanes.
  void run_group(Warp& w, Group g, std::int64_t& budget);
  bool plain(Warp& w, const Instruction& ins, Group& g, LaneMask lanes);
  bool branch(Warp& w, const Instruction& ins, Group& g, LaneMask lanes, std::int64_t budget);
  void indexed_branch(Warp& w, const Instruction& ins, const Group& g, LaneMask lanes);
  bool collective(Warp& w, const Instruction& ins, Group& g, LaneMask lanes);
  void exit(Warp& w, const Instruction& ins, const Group& g, LaneMask lanes);
  void call(Warp& w, const Instruction& ins, const Group& g, LaneMask lanes);
  void leave(Warp& w, const Group& g, LaneMask lanes);
  void check_defined(Warp& w, const Instruction& ins, LaneMask lanes);
  void execute(Warp& w, const Instruction& ins, LaneMask lanes);
  void complete(Barrier& b);
  void complete_pending_loads(bool threads_stuck);
  void check_in_flight(Warp& w, const Instruction& ins);
  void check_write_after_write(const Site& at, std::uint32_t word, std::uint32_t first,
                               const void* value, std::uint8_t mask);
  void check_write_after_read(const Site& at, std::uint32_t word, std::uint8_t mask);
  void check_unfinished_copies(Warp& w, const Instruction& ins, LaneMask lanes);

  std::uint8_t* checked_global(const Site& at, std::uint64_t address, std::uint32_t bytes,
                               Access access);
  void check_global_word(const Site& at, Allocation& a, std::size_t word, std::uint8_t bytes,
                         Access access);
  bool saw(std::uint32_t cta, std::uint32_t epoch) const;
  void synchronise(const Instruction& ins, std::uint64_t address, Access access);
  std::uint8_t* local_bytes(const Site& at, std::uint64_t address, std::uint32_t bytes,
                            Access access);
  std::uint8_t* param_bytes(const Site& at, std::uint64_t address, std::uint32_t bytes,
                            Access access);

  Finding make_finding(FindingKind kind, const Site& at, std::string message) const;
  std::string who_waits_where() const;
  std::string agent_name(int agent) const;

  LaunchState& launch_;
  const Kernel& kernel_;
  Dim3 index_;
  std::uint32_t number_;
  std::uint32_t threads_, live_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Warp>> warps_;
  std::vector<std::size_t> order_;
  SharedMemory shared_;
  std::array<Barrier, 16> barriers_;
  std::map<std::uint32_t, MBarrier> mbarriers_;  ///< by shared offset
  std::size_t agents_ = 0;
  std::vector<PendingLoad> pending_loads_;
  std::uint64_t progress_ = 0, idle_rounds_ = 0;
  // Happens-before between CTAs: what this one saw, and what its last fence lets it publish.
  std::uint32_t epoch_ = 1;
  CtaClock seen_, fenced_, pending_;
};

}  // namespace flashbench::ptx
