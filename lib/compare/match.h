#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/record.h"

namespace flashbench::compare {

/// Two results to hold against each other. Both live in the reports that they were found in.
struct Pair {
  const report::Result* base = nullptr;
  const report::Result* fresh = nullptr;
};

struct Matching {
  std::vector<Pair> both;
  std::vector<const report::Result*> only_base, only_new;
};

/// Pairs the results that are the same case (report::case_key). A case that is there several times
/// is paired in the order in which it stands. In base's order.
Matching match(const report::Report& base, const report::Report& fresh);

struct By {
  bool and_isa = false;  ///< the ISA level may differ, too
};
/// Pairs the results of one report that differ in `field` and in nothing else; the base is the one
/// that comes first. What follows from a field by default counts as part of it: kv_len of q_len,
/// h_kv of h, scale of d, mask_keep of mask, isa, threads and device of backend, a kernel's name of
/// type. Throws UsageError for a field that no result has. `and_isa`: the ISA level may differ,
/// too.
std::vector<Pair> match_by(const report::Report& report, std::string_view field, By by = {},
                           std::span<const sweep::Field> table = sweep::fields());

/// In what else two results differ that differ in a field, of those that do so in the least:
/// "; the nearest also differ in isa (avx512 and avx512_bf16)", or "".
std::string nearest_text(const report::Report& report, std::string_view field,
                         std::span<const sweep::Field> table = sweep::fields());

/// The value of a field of match_by(), as text.
std::string field_value(const report::Result& r, std::string_view field);

/// `r` without that field, where no member of the workload holds it: what all its pairs share.
report::Result without_field(report::Result r, std::string_view field);

/// Both were sampled round by round with each other: one workload and pass in one report, and
/// equally many samples.
bool interleaved(const Pair& pair);

}  // namespace flashbench::compare
