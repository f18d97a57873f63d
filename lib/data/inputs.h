#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/problem.h"
#include "core/tensor.h"
#include "data/input_files.h"

namespace flashbench::data {

/// The problem that `p.files` poses. `given`: the flags that the user gave, by name; a file decides
/// the others: shapes and dtype come from the tensors; without --mask, --sinks, --alibi,
/// --bias or --do the bundle's own `mask`, `sinks`, `alibi_slopes`, `bias` and `do` (for a backward
/// pass) are used where it has them. What no tensor decides follows the flags' own defaults: h_kv
/// follows h, kv_len follows q_len, and there are no gradients where pages or 8 bits cannot have
/// them. Reads headers, the lengths of sequences (cu_seqlens, kv_lens) and the block_table, so that
/// what lies is refused before memory is asked for. Without files the problem comes back as it is.
/// Throws UsageError: a broken file, files that contradict each other or a flag that was given.
Problem resolve(Problem p, const std::vector<std::string>& given, OpenFiles& open);
inline Problem resolve(Problem p, const std::vector<std::string>& given) {
  OpenFiles open;
  return resolve(std::move(p), given, open);
}

/// The tensors of a resolved problem, random or from its files, in [b, h, row, d]. dO is empty for
/// a forward pass. Throws UsageError for a file that does not fit the problem and for a NaN or
/// infinity in a file that counts, named by its [b, h, row, d]: K and V rows that no query sees,
/// and Q and dO rows of a query that sees no key, may hold anything. So may the bias of a pair that
/// no mask lets through; where one does, -inf hides the pair, and what could make a score infinite
/// is bad input.
Inputs make_inputs(const Problem& p);

/// Outputs of the problem's shapes and dtype, not initialised; no gradients for a forward pass.
Outputs make_outputs(const Problem& p);

}  // namespace flashbench::data
