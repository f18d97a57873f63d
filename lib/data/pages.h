#pragma once

#include "core/problem.h"
#include "core/tensor.h"
#include "data/input_files.h"

// K and V in pages of a pool.
namespace flashbench::data {

/// Pages in random order, by the problem's seed, that hold `in`'s K and V; rows of the pool that
/// are no key are NaN.
Pages make_pages(const Problem& p, const Inputs& in);

/// Throws UsageError unless the block_table of a file is [b, most] of I32, and in the row of each
/// batch element there are pages enough for its keys, none out of range or there twice; named by
/// its index. Before memory is asked for: the lengths of a problem are then those of a pool.
void check_block_table(const Problem& p, const LocatedInputs& found);

/// The pool of a file: k_pages and v_pages [pages, page_size, h_kv, d], block_table. Throws
/// UsageError for another type or shape, and as check_block_table() does.
Pages load_pages(const Problem& p, const LocatedInputs& found);

/// K or V of a problem, out of its pool.
Tensor gathered(const Problem& p, const Pages& pages, const Tensor& pool, const Dims& dims);

/// How many keys each batch element has: kv_lens [n] (I32). Throws UsageError likewise, and where
/// there are no keys at all or too many.
std::vector<std::int64_t> load_kv_lens(const Located& from);

}  // namespace flashbench::data
