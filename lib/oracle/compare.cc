#include "oracle/compare.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace flashbench::oracle {
namespace {

/// Half a unit beyond the largest finite number: what rounds to infinity.
double overflow(Dtype t) {
  const double u = row_of(t).roundoff, largest = row_of(t).largest;  // (2 - 2u) times a power of 2
  return largest / (2 - 2 * u) * (2 - u);
}

double error(double got, double want, double tolerance, Dtype dtype) {
  if (got == want) return 0;  // -inf included
  if (std::isinf(got) && std::copysign(1.0, got) * want + tolerance >= overflow(dtype)) return 0;
  return std::abs(got - want);
}

/// How many independent errors rows have of which `counts` of a kind err alike: as many as kinds,
/// where these are of one size.
double independent_kinds(const std::unordered_map<std::uint64_t, double>& counts) {
  double all = 0, squares = 0;
  for (const auto& [kind, count] : counts) {
    all += count;
    squares += square(count);
  }
  return squares == 0 ? 0 : square(all) / squares;
}

TensorVerdict judge(double error_over_noise, Scope scope = Scope::kElement) {
  TensorVerdict v;
  v.limit = kNoiseLimit;
  v.error_over_noise = error_over_noise;
  v.ok = error_over_noise <= kNoiseLimit;  // false for NaN
  v.scope = scope;
  return v;
}

/// An error over what a correct kernel may reach, in units of the limit. 0/0 is exact, hence 0.
double over_limit(double error, double reach) {
  return error == 0 ? 0 : kNoiseLimit * error / (kMargin * reach);
}

}  // namespace

TensorCheck::TensorCheck(std::string tensor, std::int64_t elements)
    : excess_of_largest_(excess_of_largest(elements)) {
  worst_.tensor = std::move(tensor);
  worst_.limit = kNoiseLimit;
  worst_.ok = true;
}

void TensorCheck::keep_worse(const TensorVerdict& other) {
  const double old = worst_.error_over_noise;
  const bool ok = worst_.ok && other.ok;
  if (!std::isnan(old) && (std::isnan(other.error_over_noise) || other.error_over_noise > old)) {
    const std::string tensor = worst_.tensor;
    worst_ = other;
    worst_.tensor = tensor;
  }
  worst_.ok = ok;
}

void TensorCheck::Errors::add(const Errors& other) {
  squares += other.squares;
  stored += other.stored;
  count += other.count;
  if (other.worst_square <= worst_square) return;
  worst_square = other.worst_square;
  worst = other.worst;
}

/// The root mean square of errors of which `excess` says how far they may exceed the expected. What
/// is stored and what is computed add up in one error, as in an element, and less the more there
/// are that are independent: `along`.
void TensorCheck::judge_mean(const Errors& errors, double excess, double along, Scope scope,
                             TensorCheck& to) {
  if (errors.count < 2) return;  // one is judged as an element
  const double share = errors.stored / errors.count;
  const double stored = 3 * share, computed = excess * std::max(0.0, 1 - share);
  const double reach = std::sqrt(stored + computed + 2 * along * std::sqrt(stored * computed));
  TensorVerdict v = judge(over_limit(std::sqrt(errors.squares / errors.count), reach), scope);
  v.index = errors.worst.index;
  v.got = errors.worst.got;
  v.want = errors.worst.want;
  to.keep_worse(v);
}

/// Judges the elements of a row and the row, and keeps what channels and heads need.
template <typename Got, typename Error>
void TensorCheck::fold(Got got, const Expected& want, std::size_t n, double unit,
                       std::array<std::int64_t, 4> index, Error error) {
  const double* value = want.value.data() + n * static_cast<std::size_t>(want.d);
  const Noise* noise = want.noise.data() + n * static_cast<std::size_t>(want.d);
  Head& head = heads_[{index[0], index[1]}];
  head.channels.resize(static_cast<std::size_t>(want.d));
  const std::uint64_t values = want.values_hash(n);
  ++head.rows[want.alike.empty() ? values : want.alike[n]];
  ++head.values[values];
  head.independent = want.independent;
  head.shared += want.shared.empty() ? 0 : want.shared[n];
  head.shared_excess = want.shared_excess;
  head.rounding.add(want.rounding);
  ++head.judged;
  Errors row;
  for (std::int64_t c = 0; c < want.d; ++c) {
    const double stored = square(unit) * noise[c].stored;
    const double computed = square(unit) * noise[c].computed;
    const double reach = std::sqrt(3 * stored) + std::sqrt(excess_of_largest_ * computed);
    const double err = error(got(c), value[c], kMargin * reach);
    TensorVerdict v = judge(over_limit(err, reach));
    v.index = index;
    v.index[3] += c;
    v.got = got(c);
    v.want = value[c];
    keep_worse(v);
    if (want.d == 1) look_at_base(v.got, v.want, kMargin * reach);
    if (stored + computed == 0) continue;  // exact, or it has failed
    const double squared = square(err) / (stored + computed);
    Errors& channel = head.channels[static_cast<std::size_t>(c)];
    const Errors one{squared, stored / (stored + computed), 1, v, squared};
    channel.add(one);
    row.add(one);
  }
  const double excess = std::min(want.excess[n], excess_of_largest_);
  judge_mean(row, excess, parallel(excess), Scope::kRow, *this);
}

void TensorCheck::look_at_base(double got, double want, double reach) {
  if (std::isinf(want) && got == want) return;
  const bool in_ln = std::abs(got - want) <= reach;
  // Exactly, but for what a kernel of either base may round.
  const auto in_log2 = [&](double x) {
    return std::abs(x * std::numbers::ln2 - want) <= 4 * reach;
  };
  if (in_log2(got) && (in_ln || in_log2(want))) return;
  ++(in_log2(got) ? in_base_2_ : otherwise_);
}

void TensorCheck::row(const Tensor& got, std::int64_t b, std::int64_t h, std::int64_t r,
                      const Expected& want, std::size_t n) {
  const std::int64_t first = got.dims().index(b, h, r, 0);
  fold([&](std::int64_t c) { return static_cast<double>(got.at(first + c)); }, want, n, 1.0,
       {b, h, r, 0},
       [&](double x, double y, double tolerance) { return error(x, y, tolerance, got.dtype()); });
}

void TensorCheck::row(const double* got, const Expected& want, std::size_t n, double unit,
                      std::array<std::int64_t, 4> index) {
  fold([&](std::int64_t c) { return got[c]; }, want, n, unit, index,
       [](double x, double y, double) { return x == y ? 0.0 : std::abs(x - y); });
}

void TensorCheck::zeros(const Tensor& got, std::int64_t b, std::int64_t h, std::int64_t r) {
  const std::int64_t first = got.dims().index(b, h, r, 0);
  for (std::int64_t c = 0; c < got.dims().d; ++c)
    if (const double x = static_cast<double>(got.at(first + c)); x != 0)
      number(x, 0, 0, {b, h, r, c});
}

void TensorCheck::number(double got, double want, double noise, std::array<std::int64_t, 4> index) {
  TensorVerdict v = judge(got == want ? 0 : std::abs(got - want) / noise);
  v.index = index;
  v.got = got;
  v.want = want;
  keep_worse(v);
}

void TensorCheck::all_written(const Tensor& got, bool may_be_minus_inf) {
  const Dims& dims = got.dims();
  const std::int64_t count = got.count();
  std::int64_t bad = count;
  with_dtype(got.dtype(), [&](auto zero) {
    using Element = decltype(zero);
    const Element* x = got.as<Element>();
#pragma omp parallel for schedule(static) reduction(min : bad) if (count > (1 << 20))
    for (std::int64_t i = 0; i < count; ++i) {
      const float value = to_f32(x[i]);
      const bool fine = value - value == 0.0f ||
                        (may_be_minus_inf && value == -std::numeric_limits<float>::infinity());
      if (!fine && i < bad) bad = i;
    }
  });
  if (bad == count) return;
  TensorVerdict v = judge(std::numeric_limits<double>::quiet_NaN());
  const Dims::Place place = dims.place(bad / dims.d);
  v.index = {place.b, place.h, place.row, bad % dims.d};
  v.got = static_cast<double>(got.at(bad));
  v.want = std::numeric_limits<double>::quiet_NaN();  // not computed: it only had to be finite
  keep_worse(v);
}

void TensorCheck::merge(const TensorCheck& other, std::int64_t first_b) {
  const auto placed = [first_b](TensorVerdict v) {
    v.index[0] += first_b;
    return v;
  };
  keep_worse(placed(other.worst_));
  in_base_2_ += other.in_base_2_;
  otherwise_ += other.otherwise_;
  for (const auto& [at, from] : other.heads_) {
    Head& to = heads_[{at.first + first_b, at.second}];
    to.channels.resize(std::max(to.channels.size(), from.channels.size()));
    for (std::size_t c = 0; c < from.channels.size(); ++c) {
      Errors channel = from.channels[c];
      channel.worst = placed(channel.worst);
      to.channels[c].add(channel);
    }
    for (const auto& [row, count] : from.rows) to.rows[row] += count;
    for (const auto& [row, count] : from.values) to.values[row] += count;
    to.independent = from.independent;
    to.shared += from.shared;
    to.judged += from.judged;
    to.shared_excess = from.shared_excess;
    to.rounding.add(from.rounding);
  }
}

TensorVerdict TensorCheck::verdict() const {
  TensorCheck all = *this;
  Errors total;
  for (const auto& [at, head] : heads_) {
    const double rows = std::min(independent_kinds(head.rows), independent_kinds(head.values));
    const double independent = std::min({rows, head.independent, head.rounding.independent()});
    const double shared = rows > 1 ? head.shared / head.judged : 0;
    const double apart = std::min(excess(independent), excess_of_largest_);
    const double together =
        std::min(std::max(head.shared_excess, head.rounding.excess()), excess_of_largest_);
    const double reach = shared * together + (1 - shared) * apart;
    const double along = shared + (1 - shared) * parallel(apart);
    Errors sum;
    for (const Errors& channel : head.channels) {
      judge_mean(channel, reach, along, Scope::kChannel, all);
      sum.add(channel);
    }
    judge_mean(sum, reach, along, Scope::kHead, all);
    total.add(sum);
  }
  if (total.count > 0) all.worst_.rms = std::sqrt(total.squares / total.count);
  all.worst_.in_base_2 = worst_.tensor == "lse" && in_base_2_ > 0 && otherwise_ == 0;
  return all.worst_;
}

}  // namespace flashbench::oracle
