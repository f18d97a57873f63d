#pragma once

#include <fmt/format.h>

#include <string>

#include "data/inputs.h"
#include "kernel/kernel.h"

// What the probes of patched programs share.
namespace flashbench {

inline int failures = 0;

inline void expect(bool holds, const std::string& what) {
  if (holds) return;
  ++failures;
  fmt::print("FAILED: {}\n", what);
}

/// Whom the patches of masks and score modifications tell.
inline bool opted_in(const Kernel& kernel) { return kernel.info().type == AttentionType::kPaper; }

/// A kernel takes the problem if it was told of `flag`, and else refuses it by that name.
inline void expect_taken_or_refused_by_name(const Kernel& kernel, const Problem& p,
                                            const std::string& flag) {
  const auto why = kernel.refuses(p, {});
  const std::string& name = kernel.info().name;
  if (opted_in(kernel))
    expect(!why, name + " refuses what it was told of");
  else
    expect(why && why->kind == Rejection::Kind::kUnsupported &&
               why->reason == fmt::format("{} does not support {}", name, flag),
           fmt::format("{} takes {}, of which nobody told it", name, flag));
}

/// What a kernel computes in small blocks, so that there are several.
inline Outputs computed(const Kernel& kernel, const Problem& p, const Inputs& in) {
  Outputs out = data::make_outputs(p);
  out.poison();
  const Execution e{.threads = 2, .q_block = 16, .kv_block = 8};
  kernel.plan(p, e, in)->launch({&in, &out});
  return out;
}

}  // namespace flashbench
