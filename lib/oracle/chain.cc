#include "oracle/chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "core/batch_element.h"
#include "core/work.h"
#include "oracle/autodiff.h"
#include "oracle/bias_gradient.h"
#include "oracle/compare.h"
#include "oracle/cut.h"
#include "oracle/directional.h"
#include "oracle/reference.h"
#include "oracle/sink_gradient.h"
#include "paper/backward.h"
#include "paper/forward.h"
#include "system/interrupt.h"

namespace flashbench::oracle {
namespace {

constexpr double kF64PerF32 = 0x1p-53 / 0x1p-24;
constexpr double kDeviations = 3;  // half the limit, over the deviation of a sum of many rows

/// What a link costs per visible pair and dimension, and what it may cost at full size: about 10 s.
constexpr double kPaperProducts = 7, kClosedFormProducts = 20;
constexpr double kMaxProducts = 1e11;

/// A tensor of the chain in double: [b, h, rows, d].
struct Array {
  Dims dims;
  Doubles x;
};

Array load(const Tensor& t) {
  Array a{t.dims(), {}};
  a.x.reserve(static_cast<std::size_t>(t.count()));
  for (std::int64_t i = 0; i < t.count(); ++i) a.x.push_back(static_cast<double>(t.at(i)));
  return a;
}

/// The closed form's answer, with the noise of f32.
struct Answer {
  Dims dims;
  Expected rows;  ///< of all heads
};

/// A problem in double with the closed form's answer (4) to it.
class Case {
 public:
  Case(const Problem& p, const Inputs& in) : problem_(p), inputs_(in), def_(problem_, inputs_) {
    problem_.dtype = Dtype::kF32;  // the unit that the noise is scaled from
    q = load(in.q);
    k = load(in.k);
    v = load(in.v);
    d_o = load(in.d_o);
    sinks.dims = shape().sink_dims();
    sinks.x.assign(in.sinks.begin(), in.sinks.end());
    if (!in.bias.empty()) load_bias();
    clear_masked_keys();
    solve();
  }
  Case(const Case&) = delete;  // def_ refers to problem_
  Case& operator=(const Case&) = delete;

  const Shape& shape() const { return problem_.shape; }

  /// One K/V head and its query heads.
  Group group(std::int64_t b, std::int64_t h_kv) const {
    return {&def_,
            b,
            h_kv,
            q.x.data() + q_at(b, h_kv),
            d_o.x.data() + o_at(b, h_kv),
            k.x.data() + k_at(b, h_kv),
            v.x.data() + v_at(b, h_kv),
            has_sinks() ? sinks.x.data() + h_kv * shape().group() : nullptr,
            has_bias() ? bias.x.data() + bias_at(b, h_kv) : nullptr,
            has_bias() ? hides_.data() + bias_at(b, h_kv) : nullptr};
  }
  bool has_bias() const { return !bias.x.empty(); }
  std::int64_t bias_at(std::int64_t b, std::int64_t h_kv) const {
    return bias.dims.index(b, h_kv * shape().group(), 0, 0);
  }
  bool has_sinks() const { return !sinks.x.empty(); }
  std::int64_t q_at(std::int64_t b, std::int64_t h_kv) const {
    return q.dims.index(b, h_kv * shape().group(), 0, 0);
  }
  std::int64_t o_at(std::int64_t b, std::int64_t h_kv) const {
    return d_o.dims.index(b, h_kv * shape().group(), 0, 0);
  }
  std::int64_t k_at(std::int64_t b, std::int64_t h_kv) const { return k.dims.index(b, h_kv, 0, 0); }
  std::int64_t v_at(std::int64_t b, std::int64_t h_kv) const { return v.dims.index(b, h_kv, 0, 0); }

  Array q, k, v, d_o, sinks;
  Array bias;  ///< of each head, [b, h, q_len, kv_len]; 0 where a pair is hidden
  Answer o, dq, dk, dv, dsinks, dbias;

 private:
  /// What a masked-out key holds must not matter, and here would if it were NaN.
  void clear_masked_keys() {
    const auto clear = [&](Array& a) {
      for (std::int64_t b = 0; b < a.dims.b; ++b)
        for (std::int64_t h = 0; h < a.dims.h; ++h)
          for (std::int64_t j = 0; j < a.dims.rows; ++j)
            if (!def_.counts(b, j))
              std::fill_n(a.x.begin() + static_cast<std::ptrdiff_t>(a.dims.index(b, h, j, 0)),
                          a.dims.d, 0.0);
    };
    clear(k);
    clear(v);
  }

  /// Its gradient is asked for, too.
  void load_bias() {
    problem_.bias_grad = true;
    const Shape& s = shape();
    bias.dims = {s.b, s.h, s.q_len, s.kv_len};
    for (std::int64_t b = 0; b < s.b; ++b)
      for (std::int64_t h = 0; h < s.h; ++h)
        for (std::int64_t i = 0; i < s.q_len; ++i)
          for (std::int64_t j = 0; j < s.kv_len; ++j) {
            const double x = def_.bias(b, h, i, j);
            bias.x.push_back(def_.visible(b, h, i, j) ? x : 0);
            hides_.push_back(static_cast<float>(x));
          }
  }

  void solve() {
    o.dims = d_o.dims;
    dq.dims = q.dims;
    dk.dims = k.dims;
    dv.dims = v.dims;
    const std::vector<RowPart> rows = all_rows(def_);
    for (const RowPart& part : rows) {
      o.rows.append(part.results.o);
      dq.rows.append(part.results.dq);
    }
    for (const ColumnPart& part : all_columns(def_, rows)) {
      dk.rows.append(part.results.dk);
      dv.rows.append(part.results.dv);
    }
    dsinks = {sinks.dims, expect_sink_gradients({sink_rows(def_, 0, rows)})};
    dbias.dims = inputs_.bias.dims();
    for (const BiasPart& part : expect_bias_gradient(def_, rows)) dbias.rows.append(part.expected);
  }

  Problem problem_;
  const Inputs& inputs_;
  Definition def_;
  std::vector<float> hides_;  ///< the bias of each head
};

/// Automatic differentiation goes through the maximum, too: what rounding leaves of Σ_j dS, which
/// is 0, comes back through it as a gradient of the largest score.
constexpr double kAutodiffUnit = 8;

TensorVerdict compare(const char* tensor, const Doubles& got, const Answer& want, double unit) {
  const Dims& dims = want.dims;
  TensorCheck check(tensor, dims.count());
  for (std::int64_t r = 0; r < dims.b * dims.h * dims.rows; ++r)
    check.row(got.data() + r * dims.d, want.rows, static_cast<std::size_t>(r), unit * kF64PerF32,
              {r / (dims.h * dims.rows), r / dims.rows % dims.h, r % dims.rows, 0});
  return check.verdict();
}

/// dQ, dK, dV of all heads, to be filled head by head.
struct Gradients {
  Doubles o, dq, dk, dv;
  Doubles sinks;  ///< [b, h], of each batch element apart
  Doubles bias;   ///< [b, h, q_len, kv_len], likewise
  explicit Gradients(const Case& c)
      : o(c.d_o.x.size()),
        dq(c.q.x.size()),
        dk(c.k.x.size()),
        dv(c.v.x.size()),
        sinks(static_cast<std::size_t>(c.has_sinks() ? c.shape().b * c.shape().h : 0)),
        bias(c.bias.x.size()) {}

  /// Of the sinks of the query heads of K/V head h_kv.
  double* sinks_of(const Case& c, std::int64_t b, std::int64_t h_kv) {
    return sinks.data() + b * c.shape().h + h_kv * c.shape().group();
  }
  std::vector<TensorVerdict> against(const Case& c, double unit = 1) const {
    std::vector<TensorVerdict> verdicts = {compare("dq", dq, c.dq, unit),
                                           compare("dk", dk, c.dk, unit),
                                           compare("dv", dv, c.dv, unit)};
    if (c.has_bias())
      verdicts.push_back(compare("dbias", shared(bias, c.bias.dims, c.dbias.dims), c.dbias, unit));
    if (c.has_sinks())
      verdicts.push_back(compare("dsinks",
                                 shared(sinks, {c.shape().b, c.shape().h, 1, 1}, c.dsinks.dims),
                                 c.dsinks, unit));
    return verdicts;
  }

 private:
  /// What is of each batch element and head, summed over those that share it.
  static Doubles shared(const Doubles& x, const Dims& each, const Dims& dims) {
    Doubles sums(static_cast<std::size_t>(dims.count()));
    const std::int64_t size = each.rows * each.d;
    for (std::int64_t b = 0; b < each.b; ++b)
      for (std::int64_t h = 0; h < each.h; ++h)
        for (std::int64_t n = 0; n < size; ++n)
          sums.data()[dims.index(b % dims.b, h % dims.h, 0, 0) + n] +=
              x.data()[each.index(b, h, 0, 0) + n];
    return sums;
  }
};

std::vector<TensorVerdict> check_autodiff(const Case& c, Formulation formulation) {
  Gradients all(c);
  for (std::int64_t b = 0; b < c.shape().b; ++b)
    for (std::int64_t h = 0; h < c.shape().h_kv; ++h) {
      const GroupGradients g = differentiate(c.group(b, h), formulation);
      std::copy(g.dq.begin(), g.dq.end(), all.dq.data() + c.q_at(b, h));
      std::copy(g.dk.begin(), g.dk.end(), all.dk.data() + c.k_at(b, h));
      std::copy(g.dv.begin(), g.dv.end(), all.dv.data() + c.v_at(b, h));
      std::copy(g.dsinks.begin(), g.dsinks.end(), all.sinks_of(c, b, h));
      if (c.has_bias())
        std::copy(g.dbias.begin(), g.dbias.end(), all.bias.data() + c.bias_at(b, h));
    }
  return all.against(c, kAutodiffUnit);
}

std::vector<TensorVerdict> check_paper(const Case& c) {
  const Shape& s = c.shape();
  Gradients all(c);
#pragma omp parallel for collapse(2) schedule(dynamic) if (worth_threads(s))
  for (std::int64_t b = 0; b < s.b; ++b)
    for (std::int64_t h = 0; h < s.h_kv; ++h) {
      const Group g = c.group(b, h);
      Doubles lse(static_cast<std::size_t>(s.q_len)), m(lse.size()), l(lse.size()), work;
      const paper::RowSoftmax<double> softmax = {m.data(), l.data()};
      for (std::int64_t n = 0; n < g.heads(); ++n) {
        const paper::Head head = paper_head(g, n, s.q_len > 512 ? 64 : 16);
        work.resize(static_cast<std::size_t>(
            std::max(paper::forward_workspace(head), paper::backward_workspace(head))));
        const std::int64_t in_group = n * s.q_len * s.d, of_o = n * s.q_len * s.d_v();
        double* o = all.o.data() + c.o_at(b, h) + of_o;
        paper::Sink<double> sink;
        paper::Bias<double> bias;
        const std::int64_t pairs = n * s.q_len * s.kv_len;
        if (g.bias != nullptr) bias = {g.bias + pairs, all.bias.data() + c.bias_at(b, h) + pairs};
        if (g.sinks != nullptr) sink = {g.sinks + n, all.sinks_of(c, b, h) + n};
        paper::forward<double>(head, g.q + in_group, g.k, g.v, o, lse.data(), softmax, work.data(),
                               {}, sink.logit, bias.value);
        paper::backward<double>(head, g.q + in_group, g.k, g.v, o, softmax, g.d_o + of_o,
                                all.dq.data() + c.q_at(b, h) + in_group,
                                all.dk.data() + c.k_at(b, h), all.dv.data() + c.v_at(b, h),
                                work.data(), {}, sink, bias);
      }
    }
  stop_if_interrupted();
  std::vector<TensorVerdict> verdicts = all.against(c);
  verdicts.insert(verdicts.begin(), compare("o", all.o, c.o, 1));
  return verdicts;
}

/// A direction of the bias for the heads of a group: heads that share the bias share it.
Doubles along_bias(const Case& c, std::int64_t b, std::int64_t h_kv, const Doubles& way) {
  if (!c.has_bias()) return {};
  const Dims& dims = c.dbias.dims;
  Doubles of_group;
  for (std::int64_t g = 0; g < c.shape().group(); ++g) {
    const std::int64_t h = h_kv * c.shape().group() + g;
    const auto from = way.begin() + dims.index(b % dims.b, h % dims.h, 0, 0);
    of_group.insert(of_group.end(), from, from + dims.rows * dims.d);
  }
  return of_group;
}

/// Random directions, one for each tensor; <gradient, direction> of the closed form against them.
/// Noise: rows are independent, each off by its own along the direction; the rounding of so long a
/// sum; and that of the derivative.
std::vector<TensorVerdict> check_directions(const Case& c) {
  std::mt19937_64 generator(2);
  std::normal_distribution<double> normal;
  const auto direction = [&](const auto& like) {
    Doubles x(static_cast<std::size_t>(like.dims.count()));
    std::generate(x.begin(), x.end(), [&] { return normal(generator); });
    return x;
  };
  const Doubles q_way = direction(c.q), k_way = direction(c.k), v_way = direction(c.v);
  const Doubles sinks_way = direction(c.sinks), bias_way = direction(c.dbias);
  DirectionalDerivatives along;
  for (std::int64_t b = 0; b < c.shape().b; ++b)
    for (std::int64_t h = 0; h < c.shape().h_kv; ++h) {
      const Doubles bias_of_group = along_bias(c, b, h, bias_way);
      along += directional_derivatives(
          c.group(b, h),
          {q_way.data() + c.q_at(b, h), k_way.data() + c.k_at(b, h), v_way.data() + c.v_at(b, h),
           c.has_bias() ? bias_of_group.data() : nullptr,
           c.has_sinks() ? sinks_way.data() + h * c.shape().group() : nullptr});
    }
  const Slopes &slope = along.slope, &noise = along.noise;
  const auto judge = [](const char* tensor, double got, double beyond, const Answer& gradient,
                        const Doubles& way) {
    double sum = 0, magnitude = 0, variance = square(kF64PerF32) * beyond;
    const std::int64_t d = gradient.dims.d;
    for (std::int64_t r = 0; r < gradient.dims.count() / d; ++r) {
      double row = 0;  // summed apart: shorter sums round less
      for (std::int64_t i = r * d; i < (r + 1) * d; ++i) {
        const double term = way.data()[i] * gradient.rows.value.data()[i];
        row += term;
        magnitude += std::abs(term);
        variance += square(way.data()[i] * kF64PerF32) * gradient.rows.noise.data()[i].variance();
      }
      sum += row;
    }
    TensorCheck check(tensor, 1);
    check.number(got, sum, kDeviations * std::sqrt(variance) + 0x1p-53 * magnitude, {});
    return check.verdict();
  };
  std::vector<TensorVerdict> verdicts = {judge("dq", slope.q, noise.q, c.dq, q_way),
                                         judge("dk", slope.k, noise.k, c.dk, k_way),
                                         judge("dv", slope.v, noise.v, c.dv, v_way)};
  if (c.has_bias()) verdicts.push_back(judge("dbias", slope.bias, noise.bias, c.dbias, bias_way));
  if (c.has_sinks())
    verdicts.push_back(judge("dsinks", slope.sinks, noise.sinks, c.dsinks, sinks_way));
  return verdicts;
}

std::string extents(const Shape& s) {
  std::string text = fmt::format("b {}, h {}, h_kv {}, q_len {}, kv_len {}, d {}", s.b, s.h, s.h_kv,
                                 s.q_len, s.kv_len, s.d);
  if (s.d_v() != s.d) text += fmt::format(", d_v {}", s.d_v());
  return text;
}

/// ADOL-C's tanh is good to the roundoff of 1, not of its result, and the cap multiplies that.
constexpr double kMostTapedSoftcap = 100;

const char* const kPaperName = "paper's backward = closed form";
const char* const kDirectionName = "directional derivatives = closed form";

/// All links on a problem small enough to tape.
void check_all(const Problem& p, Inputs& in, const std::string& where,
               std::vector<ChainLink>& links) {
  for (const GradSource source : {GradSource::kOnes, GradSource::kRandom}) {
    fill_d_o(p, source, in);
    const Case c(p, in);
    const std::string on = fmt::format("{}, dO {}", where, name(source));
    for (const auto& [name, formulation] :
         {std::pair("autodiff of normal = closed form", Formulation::kNormal),
          std::pair("autodiff of flash = closed form", Formulation::kFlash)}) {
      if (p.softcap > kMostTapedSoftcap)
        links.push_back({name, on, "ADOL-C's tanh is too coarse for a soft cap over 100", {}});
      else
        links.push_back({name, on, "", check_autodiff(c, formulation)});
    }
    links.push_back({kPaperName, on, "", check_paper(c)});
    links.push_back({kDirectionName, on, "", check_directions(c)});
  }
}

}  // namespace

std::vector<ChainLink> check_gradient_chain(const Problem& p, const Inputs& in) {
  if (p.shape.sequences != nullptr) {
    const std::int64_t b = largest_sequence(p.shape);
    if (p.shape.q_len_of(b) * p.shape.kv_len_of(b) == 0) return {};
    std::vector<ChainLink> links = check_gradient_chain(sequence(p, b), batch_element(p, in, b));
    for (ChainLink& link : links) link.on = fmt::format("sequence {}, {}", b, link.on);
    return links;
  }
  std::vector<ChainLink> links;
  const Shape small = tapeable(p.shape);
  const bool whole = small == p.shape;
  OwnedCase copy = cut(p, in, small);
  check_all(copy.problem, copy.inputs,
            whole ? "full size" : fmt::format("copy cut to {}", extents(small)), links);
  if (whole) return links;

  const double products = count_visible(p, in.key_mask).pairs *
                          static_cast<double>(p.shape.widest_d()) *
                          (kPaperProducts + kClosedFormProducts + kDirectionalProducts);
  if (products > kMaxProducts) {
    const std::string why =
        fmt::format("full size ({}) needs {:.2g} fp64 multiply-adds, more than {:.2g}",
                    extents(p.shape), products, kMaxProducts);
    links.push_back({kPaperName, "full size", why, {}});
    links.push_back({kDirectionName, "full size", why, {}});
    return links;
  }
  OwnedCase full = cut(p, in, p.shape);
  if (full.inputs.d_o.empty()) fill_d_o(p, GradSource::kOnes, full.inputs);
  const std::string on =
      fmt::format("full size, dO {}", in.d_o.empty() ? name(GradSource::kOnes) : name(p.d_o));
  const Case c(full.problem, full.inputs);
  links.push_back({kPaperName, on, "", check_paper(c)});
  links.push_back({kDirectionName, on, "", check_directions(c)});
  return links;
}

}  // namespace flashbench::oracle
