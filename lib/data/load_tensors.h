#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/problem.h"
#include "core/tensor.h"
#include "data/input_files.h"

// Tensors out of files, each with what it must be.
namespace flashbench::data {

/// Reads the lengths of sequences from their cu_seqlens, [n + 1] of I32 or I64: 0, and where each
/// ends; without `keys` each has as many keys as queries. Throws UsageError for another type or
/// shape, for numbers that fall, named by their index, and where there are no queries or no keys at
/// all.
std::vector<SequenceLengths> load_sequences(const Located& queries,
                                            const std::optional<Located>& keys);

/// Throws UsageError, with the index where it is so, unless all sequences together have between 1
/// and 2^31 - 1 rows; one of them may be empty. `ends`: 0, and where each ends; `first`: where the
/// tensor has the number of the first one.
void require_rows(const Located& from, const std::vector<std::int64_t>& ends, std::size_t first);

/// Reads q, k, v or dO. Throws UsageError unless it has these extents and this dtype.
Tensor load_tensor(const Located& from, Dims dims, Dtype dtype, Layout layout);

/// Reads a padding mask [b, kv_len] of U8 or BOOL; anything but zero is a kept key and becomes 1.
std::vector<std::uint8_t> load_mask(const Located& from, std::int64_t b, std::int64_t kv_len);

/// Reads the sinks [h], of any dtype that attention reads. Throws UsageError for another shape, a
/// NaN or an infinity.
std::vector<float> load_sinks(const Located& from, std::int64_t h);
/// The same of the slopes of ALiBi, [h] or [b, h]; as [b, h]. What they take from a score must be
/// finite in f32 at every distance.
std::vector<float> load_alibi(const Located& from, const Shape& s);

/// The same of a bias of p.bias_dims() and p.bias_dtype(). Values are not looked at: what they may
/// be depends on who sees whom.
Tensor load_bias(const Located& from, const Problem& p);

/// Reads the descales of K or V, [b, h_kv], [1, h_kv] or [h_kv]; as [b, h_kv]. They must be
/// positive, and times the largest number of K's dtype they must fit f32, as must those of K times
/// --scale.
std::vector<float> load_descales(const Located& from, const Problem& p);

/// The [b, h, row, d] extents of a stored q, k, v, dO. Throws UsageError unless it has four axes,
/// none empty, and a dtype that attention reads. Of a ragged batch [row, h, d], with b = 1.
Dims extents(const Located& at, Layout layout);
Dims packed_extents(const Located& at);
/// Of a pool, [page, h_kv, row, d].
Dims pool_extents(const Located& at);

}  // namespace flashbench::data
