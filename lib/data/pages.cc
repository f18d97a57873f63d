#include "data/pages.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <set>

#include "data/fill.h"
#include "data/layout.h"
#include "data/load_tensors.h"
#include "data/philox.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::data {
namespace {

std::int64_t most_pages(const Problem& p) {
  std::int64_t most = 1;
  for (std::int64_t b = 0; b < p.shape.b; ++b) most = std::max(most, pages_of(p, b));
  return most;
}

/// Calls f(element in the pool, element in the tensor, elements) for what lies in one piece: the
/// rows of a head in a page.
template <typename F>
void for_each_run(const Problem& p, const Pages& pages, const Tensor& pool, const Dims& dims,
                  F&& f) {
  const std::int64_t most = static_cast<std::int64_t>(pages.block_table.size()) / p.shape.b;
  for (std::int64_t b = 0; b < p.shape.b; ++b)
    for (std::int64_t n = 0; n < pages_of(p, b); ++n) {
      const std::int64_t page = pages.block_table[static_cast<std::size_t>(b * most + n)];
      const std::int64_t first = n * p.page_size;
      const std::int64_t rows = std::min(p.page_size, dims.rows_of(b) - first);
      for (std::int64_t h = 0; h < dims.h; ++h)
        f(pool.dims().index(page, h, 0, 0), dims.index(b, h, first, 0), rows * dims.d);
    }
}

Tensor pool_of(const Problem& p, const Pages& pages, const Tensor& from) {
  Tensor pool(from.dtype(), {pages_in_pool(p), p.shape.h_kv, p.page_size, from.dims().d});
  pool.poison();
  const std::size_t size = size_bytes(from.dtype());
  for_each_run(p, pages, pool, from.dims(),
               [&](std::int64_t in_pool, std::int64_t in_tensor, std::int64_t count) {
                 std::memcpy(pool.as<std::byte>() + static_cast<std::size_t>(in_pool) * size,
                             from.as<std::byte>() + static_cast<std::size_t>(in_tensor) * size,
                             static_cast<std::size_t>(count) * size);
               });
  return pool;
}

/// A permutation of [0, count): Fisher and Yates.
std::vector<std::int32_t> shuffled(std::int64_t count, std::uint64_t seed) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = order.size(); i > 1; --i) {
    const PhiloxCounter words = philox4x32_10(
        {static_cast<std::uint32_t>(i), 0, static_cast<std::uint32_t>(TensorId::kPages), 0},
        philox_key(seed));
    std::swap(order[i - 1], order[words[0] % i]);
  }
  return order;
}

/// Numbers of I32.
std::vector<std::int32_t> load_integers(const Located& from) {
  if (from.tensor.element != Element(OtherElement::kI32))
    throw UsageError(
        fmt::format("{} holds {}; it must be I32", from.label(), from.tensor.dtype_text));
  std::vector<std::int32_t> x(static_cast<std::size_t>(from.tensor.bytes) / sizeof(std::int32_t));
  from.file->read(from.tensor, 0, std::as_writable_bytes(std::span(x)));
  return x;
}

std::vector<std::int32_t> load_table(const Problem& p, const LocatedInputs& found) {
  const Located& from = *found.block_table;
  if (from.tensor.shape.size() != 2 || from.tensor.shape[0] != p.shape.b)
    throw UsageError(fmt::format("{} has shape {}; it must be [{}, most pages]", from.label(),
                                 shape_text(from.tensor.shape), p.shape.b));
  const std::vector<std::int32_t> table = load_integers(from);
  const std::int64_t most = from.tensor.shape[1], pages = found.k_pages->tensor.shape[0];
  for (std::int64_t b = 0; b < p.shape.b; ++b) {
    if (pages_of(p, b) > most)
      throw UsageError(
          fmt::format("{} has shape {}; the {} keys that {} holds at [{}] take {} pages of {}",
                      from.label(), shape_text(from.tensor.shape), p.shape.kv_len_of(b),
                      quote(kKvLensName), b, pages_of(p, b), p.page_size));
    std::set<std::int32_t> used;
    for (std::int64_t n = 0; n < pages_of(p, b); ++n) {
      const std::int32_t page = table[static_cast<std::size_t>(b * most + n)];
      if (page < 0 || page >= pages)
        throw UsageError(fmt::format("{} holds {} at [{}, {}]; there are pages 0 to {}",
                                     from.label(), page, b, n, pages - 1));
      if (!used.insert(page).second)
        throw UsageError(fmt::format("{} holds {} at [{}, {}] for the second time in its row",
                                     from.label(), page, b, n));
    }
  }
  return table;
}

Tensor load_pool(const Problem& p, const Located& from, std::int64_t d) {
  const Dims dims = {from.tensor.shape[0], p.shape.h_kv, p.page_size, d};
  Tensor pool(p.kv_dtype(), dims);
  read_tensor(*from.file, from.tensor, Layout::kBshd, pool);
  return pool;
}

}  // namespace

Pages make_pages(const Problem& p, const Inputs& in) {
  const std::vector<std::int32_t> order = shuffled(pages_in_pool(p), p.seed);
  Pages pages;
  const std::int64_t most = most_pages(p);
  pages.block_table.assign(static_cast<std::size_t>(p.shape.b * most), -1);
  auto next = order.begin();
  for (std::int64_t b = 0; b < p.shape.b; ++b)
    for (std::int64_t n = 0; n < pages_of(p, b); ++n)
      pages.block_table[static_cast<std::size_t>(b * most + n)] = *next++;
  pages.k = pool_of(p, pages, in.k);
  if (!p.v_in_k) pages.v = pool_of(p, pages, in.v);
  return pages;
}

void check_block_table(const Problem& p, const LocatedInputs& found) { load_table(p, found); }

Pages load_pages(const Problem& p, const LocatedInputs& found) {
  Pages pages;
  pages.block_table = load_table(p, found);
  pages.k = load_pool(p, *found.k_pages, p.shape.d);
  if (!p.v_in_k) pages.v = load_pool(p, *found.v_pages, p.shape.d_v());
  return pages;
}

Tensor gathered(const Problem& p, const Pages& pages, const Tensor& pool, const Dims& dims) {
  Tensor to(pool.dtype(), dims);
  const std::size_t size = size_bytes(pool.dtype());
  for_each_run(p, pages, pool, dims,
               [&](std::int64_t in_pool, std::int64_t in_tensor, std::int64_t count) {
                 std::memcpy(to.as<std::byte>() + static_cast<std::size_t>(in_tensor) * size,
                             pool.as<std::byte>() + static_cast<std::size_t>(in_pool) * size,
                             static_cast<std::size_t>(count) * size);
               });
  return to;
}

std::vector<std::int64_t> load_kv_lens(const Located& from) {
  if (from.tensor.shape.size() != 1 || from.tensor.shape[0] == 0)
    throw UsageError(fmt::format("{} has shape {}; it must be [sequences]", from.label(),
                                 shape_text(from.tensor.shape)));
  const std::vector<std::int32_t> lengths = load_integers(from);
  std::vector<std::int64_t> ends = {0};
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] < 0)
      throw UsageError(
          fmt::format("{} holds {} at [{}]; no length is negative", from.label(), lengths[i], i));
    ends.push_back(ends.back() + lengths[i]);
  }
  require_rows(from, ends, 0);
  return {lengths.begin(), lengths.end()};
}

}  // namespace flashbench::data
