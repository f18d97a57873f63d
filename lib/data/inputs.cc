#include "data/inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

#include "core/visibility.h"
#include "core/work.h"
#include "data/alibi.h"
#include "data/fill.h"
#include "data/input_files.h"
#include "data/load_tensors.h"
#include "data/pages.h"
#include "system/error.h"

namespace flashbench::data {
namespace {

/// In integers, so that it vectorises.
template <typename T>
bool is_finite(T x) {
  return (std::bit_cast<std::uint32_t>(to_f32(x)) & 0x7f800000u) != 0x7f800000u;
}

constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();

/// The first flat index of a bad element that counts, or kNone. `counts(r, i)`: of element i of row
/// r, counted over all heads; asked of bad ones alone.
template <typename IsBad, typename Counts>
std::int64_t first_bad(const Tensor& t, const IsBad& is_bad, const Counts& counts) {
  const Dims& dims = t.dims();
  return with_dtype(t.dtype(), [&](auto zero) {
    const auto* data = t.as<decltype(zero)>();
    std::int64_t first = kNone;
#pragma omp parallel for schedule(static) reduction(min : first)
    for (std::int64_t r = 0; r < dims.all_rows(); ++r) {
      const auto* row = data + r * dims.d;
      unsigned bad = 0;
      for (std::int64_t i = 0; i < dims.d; ++i) bad |= is_bad(row[i]) ? 1u : 0u;
      for (std::int64_t i = 0; bad != 0 && i < dims.d; ++i) {
        if (!is_bad(row[i]) || !counts(r, i)) continue;
        first = std::min(first, r * dims.d + i);
        break;
      }
    }
    return first;
  });
}

template <typename Counts>
void require_finite(const Tensor& t, const Located& from, const Counts& counts,
                    std::string_view hint) {
  const Dims& dims = t.dims();
  const std::int64_t at = first_bad(
      t, [](auto x) { return !is_finite(x); },
      [&](std::int64_t r, std::int64_t) {
        const Dims::Place place = dims.place(r);
        return counts(place.b, place.row);
      });
  if (at == kNone) return;
  const Dims::Place place = dims.place(at / dims.d);
  throw UsageError(fmt::format("{} holds {} at [b, h, row, d] = [{}, {}, {}, {}]; {}", from.label(),
                               std::isnan(t.at(at)) ? "a NaN" : "an infinity", place.b, place.h,
                               place.row, at % dims.d, hint));
}

Tensor random_tensor(const Problem& p, Dtype dtype, Dims dims, TensorId id,
                     std::span<const float> descales = {}) {
  Tensor t(dtype, dims);
  fill(t, p.seed, id, p.values, 0, descales);
  return t;
}

Tensor ones(Dtype dtype, Dims dims) {
  Tensor t(dtype, dims);
  with_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    std::fill_n(t.as<T>(), t.count(), from_f32<T>(1.0f));
  });
  return t;
}

/// Zeroes the rows that do not count. `counts(b, row)`.
template <typename Counts>
void clear_others(Tensor& t, const Counts& counts) {
  const Dims& dims = t.dims();
  const auto row_bytes = static_cast<std::size_t>(dims.d) * size_bytes(t.dtype());
  auto* row = static_cast<std::byte*>(t.data());
  for (std::int64_t r = 0; r < dims.all_rows(); ++r, row += row_bytes) {
    const Dims::Place place = dims.place(r);
    if (!counts(place.b, place.row)) std::memset(row, 0, row_bytes);
  }
}

/// Q or dO. A query that sees no key has O = 0 and no gradients, whatever its rows hold. They are
/// loaded as zeros: kernels multiply them by a probability of 0, and 0 times NaN is NaN.
Tensor load_query_side(const Problem& p, const Dims& dims, const Located& from,
                       const std::vector<Visibility>& visible) {
  Tensor t = load_tensor(from, dims, p.dtype, p.files.layout);
  const auto sees_a_key = [&](std::int64_t b, std::int64_t row) {
    return !visible[static_cast<std::size_t>(b)].keys(row).empty();
  };
  require_finite(t, from, sees_a_key, "every row of a query that sees a key must be finite");
  clear_others(t, sees_a_key);
  return t;
}

/// Rows that no query sees change nothing, whatever they hold.
void require_finite_keys(const Tensor& t, const Located& from,
                         const std::vector<Visibility>& visible) {
  const auto is_seen = [&](std::int64_t b, std::int64_t row) {
    return visible[static_cast<std::size_t>(b)].kept().holds(row);
  };
  require_finite(t, from, is_seen, "every row that some query sees must be finite");
}

/// K or V.
Tensor load_key_side(const Problem& p, const Dims& dims, const Located& from,
                     const std::vector<Visibility>& visible) {
  Tensor t = load_tensor(from, dims, p.kv_dtype(), p.files.layout);
  require_finite_keys(t, from, visible);
  return t;
}
Tensor gather_key_side(const Problem& p, const Dims& dims, const Pages& pages, const Tensor& pool,
                       const Located& from, const std::vector<Visibility>& visible) {
  Tensor t = gathered(p, pages, pool, dims);
  require_finite_keys(t, from, visible);
  return t;
}

/// V, where it is the first columns of K.
Tensor first_columns(const Tensor& k, const Dims& dims) {
  Tensor v(k.dtype(), dims);
  const std::size_t size = size_bytes(k.dtype());
  const auto from = static_cast<std::size_t>(k.dims().d) * size;
  const auto to = static_cast<std::size_t>(dims.d) * size;
  for (std::int64_t r = 0; r < dims.all_rows(); ++r)
    std::memcpy(v.as<std::byte>() + static_cast<std::size_t>(r) * to,
                k.as<std::byte>() + static_cast<std::size_t>(r) * from, to);
  return v;
}

/// Of K or V; empty where these are no 8-bit numbers.
std::vector<float> make_descales(const Problem& p, const std::optional<Located>& tensor,
                                 const std::optional<Located>& descales, TensorId id) {
  if (!p.has_descales()) return {};
  const std::int64_t heads = p.shape.b * p.shape.h_kv;
  if (descales) return load_descales(*descales, p);
  if (tensor) return std::vector<float>(static_cast<std::size_t>(heads), 1.0f);
  return random_descales(heads, p.seed, id, p.values);
}

Tensor make_d_o(const Problem& p, const LocatedInputs& found,
                const std::vector<Visibility>& visible) {
  const Dims dims = p.shape.o_dims();
  if (found.d_o) return load_query_side(p, dims, *found.d_o, visible);
  if (p.d_o == GradSource::kRandom) return random_tensor(p, p.dtype, dims, TensorId::kDo);
  return ones(p.dtype, dims);
}

/// Normal numbers about the LSE of a row of logits near 0, so that a sink has about the weight of
/// all keys, as trained ones do: 16ths, which every compiler's logarithm gives alike.
std::vector<float> random_sinks(const Problem& p) {
  const double rows = static_cast<double>(p.shape.lse_dims().count());
  const double keys = std::max(expected_visible(p).pairs / rows, 1.0);
  const auto center = static_cast<float>(std::round(16 * std::log(keys)) / 16);
  Tensor noise(Dtype::kF32, p.shape.sink_dims());
  fill(noise, p.seed, TensorId::kSinks);
  std::vector<float> sinks;
  for (std::int64_t h = 0; h < noise.count(); ++h) sinks.push_back(center + noise.at(h));
  return sinks;
}

/// What a score and a bias are together is no +inf in f32 below this. Below the least number it is
/// -inf, which hides the pair, as masks of that number are meant to.
constexpr float kMostBias = std::numeric_limits<float>::max() / 2;
constexpr float kLeastBias = -std::numeric_limits<float>::max();

/// -inf hides a pair, whose key or query another batch element may yet see.
template <typename T>
bool is_bad_bias(T stored) {
  const float x = to_f32(stored);
  return !(x >= kLeastBias && x <= kMostBias) && x != -std::numeric_limits<float>::infinity();
}

/// Whether a mask lets the pair of this element through, in one of the batch elements that share
/// it.
bool is_seen(const std::vector<Visibility>& visible, const Dims& dims, std::int64_t row,
             std::int64_t key) {
  const auto sees = [&](const Visibility& v) {
    return v.kept().holds(key) && v.keys(row % dims.rows).holds(v.kept().before(key));
  };
  if (dims.b == 1) return std::any_of(visible.begin(), visible.end(), sees);
  return sees(visible[static_cast<std::size_t>(row / (dims.h * dims.rows))]);
}

/// What is added to the score of a pair that no mask lets through changes nothing.
Tensor load_checked_bias(const Problem& p, const Located& from,
                         const std::vector<Visibility>& visible) {
  Tensor bias = load_bias(from, p);
  const Dims& dims = bias.dims();
  const std::int64_t at = first_bad(
      bias, [](auto x) { return is_bad_bias(x); },
      [&](std::int64_t row, std::int64_t key) { return is_seen(visible, dims, row, key); });
  if (at == kNone) return bias;
  const float value = bias.at(at);
  const std::int64_t row = at / dims.d;
  throw UsageError(fmt::format(
      "{} holds {} at [b, h, q, kv] = [{}, {}, {}, {}]; where a query sees a key a bias must be "
      "between {:.3g} and {:.3g}, or -inf, which hides the pair",
      from.label(),
      std::isnan(value)   ? "a NaN"
      : std::isinf(value) ? "+inf"
                          : fmt::format("{}", value),
      row / (dims.h * dims.rows), row / dims.rows % dims.h, row % dims.rows, at % dims.d,
      kLeastBias, kMostBias));
}

Tensor make_bias(const Problem& p, const LocatedInputs& found,
                 const std::vector<Visibility>& visible) {
  if (found.bias) return load_checked_bias(p, *found.bias, visible);
  Tensor bias(p.bias_dtype(), p.bias_dims());
  fill_bias(bias, p.seed);
  return bias;
}

/// K and V, wherever and however they are stored.
void add_keys_and_values(const Problem& p, const LocatedInputs& found,
                         const std::vector<Visibility>& visible, Inputs& in) {
  const Dims k = p.shape.k_dims(), v = p.shape.v_dims();
  in.v_in_k = p.v_in_k;
  in.k_scale = make_descales(p, found.k ? found.k : found.k_pages, found.k_scale, TensorId::kK);
  if (!p.v_in_k)
    in.v_scale = make_descales(p, found.v ? found.v : found.v_pages, found.v_scale, TensorId::kV);
  if (found.k_pages) {
    in.pages = load_pages(p, found);
    in.k = gather_key_side(p, k, in.pages, in.pages.k, *found.k_pages, visible);
    if (!p.v_in_k) in.v = gather_key_side(p, v, in.pages, in.pages.v, *found.v_pages, visible);
  } else {
    in.k = found.k ? load_key_side(p, k, *found.k, visible)
                   : random_tensor(p, p.kv_dtype(), k, TensorId::kK, in.k_scale);
    if (!p.v_in_k)
      in.v = found.v ? load_key_side(p, v, *found.v, visible)
                     : random_tensor(p, p.kv_dtype(), v, TensorId::kV, in.v_scale);
    if (p.paged()) in.pages = make_pages(p, in);
  }
  if (!p.v_in_k) return;
  in.v = first_columns(in.k, v);
  in.v_scale = in.k_scale;
}

}  // namespace

Inputs make_inputs(const Problem& p) {
  OpenFiles open;  // again: a file may have changed since resolve()
  const LocatedInputs found = locate(p, open);
  const Shape& s = p.shape;
  Inputs in;
  if (found.mask)
    in.key_mask = load_mask(*found.mask, s.b, s.kv_len);
  else if (p.padding == PaddingMask::kRandom)
    in.key_mask = random_mask(s.b, s.kv_len, p.mask_keep, p.seed);
  if (found.sinks)
    in.sinks = load_sinks(*found.sinks, s.h);
  else if (p.sinks == Sinks::kRandom)
    in.sinks = random_sinks(p);
  if (found.alibi) in.alibi_slopes = load_alibi(*found.alibi, s);
  for (std::int64_t b = 0; p.alibi == Alibi::kStandard && b < s.b; ++b) {
    const std::vector<float> slopes = standard_alibi_slopes(s.h);
    in.alibi_slopes.insert(in.alibi_slopes.end(), slopes.begin(), slopes.end());
  }
  std::vector<Visibility> visible;
  if (found.q || found.d_o || found.bias) visible = visibilities(in.key_mask, p);
  in.q = found.q ? load_query_side(p, s.q_dims(), *found.q, visible)
                 : random_tensor(p, p.dtype, s.q_dims(), TensorId::kQ);
  add_keys_and_values(p, found, visible, in);
  if (p.bias != Bias::kNone) in.bias = make_bias(p, found, visible);
  if (p.needs_gradients()) in.d_o = make_d_o(p, found, visible);
  return in;
}

Outputs make_outputs(const Problem& p) {
  const Shape& s = p.shape;
  Outputs out;
  out.o = Tensor(p.dtype, s.o_dims());
  out.lse = Tensor(Dtype::kF32, s.lse_dims());
  if (p.needs_gradients()) {
    out.dq = Tensor(p.dtype, s.q_dims());
    out.dk = Tensor(p.kv_dtype(), s.k_dims());
    out.dv = Tensor(p.kv_dtype(), s.v_dims());
    if (p.sinks != Sinks::kNone) out.dsinks = Tensor(Dtype::kF32, s.sink_dims());
    if (p.needs_bias_gradient()) out.dbias = Tensor(p.bias_dtype(), p.bias_dims());
  }
  return out;
}

}  // namespace flashbench::data
