#pragma once

#include "core/problem.h"
#include "core/tensor.h"
#include "data/input_files.h"

// K and V in pages of a pool.
namespace flashbench::data {

/// Pages in random order, by the problem's seed, that hold `in`'s K and V; rows of the pool that
/// are no key are NaN.
Pages make_pages(const Problem& p, const Inputs& in);

/// The pool of a file: k_pages and v_pages [pages, page_size, h_kv, d], block_table [b, most]
/// (I32). Throws UsageError for another type or shape, and for a page out of range or twice within
/// the keys of a batch element, named by its index.
Pages load_pages(const Problem& p, const LocatedInputs& found);

/// K or V of a problem, out of its pool.
Tensor gathered(const Problem& p, const Pages& pages, const Tensor& pool, const Dims& dims);

/// How many keys each batch element has: kv_lens [n] (I32). Throws UsageError likewise.
std::vector<std::int64_t> load_kv_lens(const Located& from);

}  // namespace flashbench::data
