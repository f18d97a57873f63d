#pragma once

#include <cmath>
#include <random>
#include <vector>

#include "core/problem.h"
#include "core/tensor.h"

/// Inputs that real users have, made from normal numbers: what the judge must not take for errors,
/// and must not hide them behind.
namespace flashbench::host {

struct Flavour {
  const char* name;
  GradSource d_o;
  void (*change)(Inputs&);
};

template <typename Change>
void each(Tensor& t, Change change) {
  for (std::int64_t i = 0; i < t.count(); ++i) t.set(i, change(t.at(i)));
}
template <typename Change>
void all(Inputs& in, Change change) {
  for (Tensor* t : {&in.q, &in.k, &in.v, &in.d_o})
    if (!t->empty()) each(*t, change);
}
inline void fill(Inputs& in, float value) {
  all(in, [=](float) { return value; });
}
/// One channel of a tensor, or every 17th row of it, times a factor.
inline void enlarge_channel(Tensor& t, float times) {
  for (std::int64_t i = t.dims().d / 3; i < t.count(); i += t.dims().d) t.set(i, t.at(i) * times);
}
inline void enlarge_rows(Tensor& t, float times) {
  for (std::int64_t i = 0; i < t.count(); ++i)
    if (i / t.dims().d % 17 == 5) t.set(i, t.at(i) * times);
}
/// Rows become copies of the first `kinds` of each head.
inline void repeat_rows(Tensor& t, std::int64_t kinds) {
  const Dims& dims = t.dims();
  for (std::int64_t i = 0; i < t.count(); ++i) {
    const std::int64_t row = i / dims.d % dims.rows, source = row * 7 % kinds;
    if (source < row) t.set(i, t.at(i - (row - source) * dims.d));
  }
}
/// Small numbers around waves along the sequence, one a channel, as positional encodings have them:
/// sums over rows go far and come back.
inline void drift(Tensor& t) {
  const Dims& dims = t.dims();
  for (std::int64_t i = 0; i < t.count(); ++i) {
    const double along =
        static_cast<double>(i / dims.d % dims.rows) / static_cast<double>(dims.rows);
    const double across = static_cast<double>(i % dims.d) / static_cast<double>(dims.d);
    const double wave = std::cos(2 * 3.14159265 * (along + across));
    t.set(i, 0.1f * t.at(i) + static_cast<float>(wave));
  }
}
/// Q and V are a wave along the channels, K and dO nearly constant: products q·k and dO·v go far
/// and come back.
inline void wave_of_channels(Inputs& in) {
  for (Tensor* t : {&in.q, &in.k, &in.v, &in.d_o}) {
    if (t->empty()) continue;
    const bool waves = t == &in.q || t == &in.v;
    const std::int64_t d = t->dims().d;
    for (std::int64_t i = 0; i < t->count(); ++i) {
      const double turn = static_cast<double>(i % d) / static_cast<double>(d);
      const double wave = waves ? 5 * std::cos(2 * 3.14159265 * turn) : 1;
      t->set(i, 0.3f * t->at(i) + static_cast<float>(wave));
    }
  }
}
/// Every other row is the negative of the one before, but for `spread` times what it held.
inline void alternate(Tensor& t, float size, float spread) {
  const Dims& dims = t.dims();
  for (std::int64_t i = 0; i < t.count(); ++i) {
    const float sign = i / dims.d % dims.rows % 2 == 0 ? 1.0f : -1.0f;
    t.set(i, sign * size * (1 + spread * t.at(i)));
  }
}
/// Each row is 1 in one channel, and 0.
inline void one_hot(Tensor& t) {
  const Dims& dims = t.dims();
  for (std::int64_t i = 0; i < t.count(); ++i)
    t.set(i, i / dims.d % dims.rows % dims.d == i % dims.d ? 1.0f : 0.0f);
}
/// Grows from the first row to the last, and from the first channel to the last.
inline void ramp(Tensor& t) {
  const Dims& dims = t.dims();
  for (std::int64_t i = 0; i < t.count(); ++i) {
    const auto row = static_cast<float>(i / dims.d % dims.rows);
    const auto channel = static_cast<float>(i % dims.d);
    t.set(i, row / static_cast<float>(dims.rows) + channel / static_cast<float>(dims.d));
  }
}
/// Largest so that sums of a few still fit.
inline float large(const Tensor& t) { return static_cast<float>(row_of(t.dtype()).largest) / 64; }

// In f16 the largest factors would overflow: 100 there.
inline float factor(const Tensor& t, float wanted) {
  return t.dtype() == Dtype::kF16 ? std::min(wanted, 100.0f) : wanted;
}

inline constexpr Flavour kFlavours[] = {
    {"normal", GradSource::kRandom, [](Inputs&) {}},
    {"sum(O)", GradSource::kOnes, [](Inputs&) {}},
    {"uniform", GradSource::kRandom,
     [](Inputs& in) { all(in, [](float x) { return 0.5f * std::erfc(-x * 0.70710678f); }); }},
    {"ones", GradSource::kOnes, [](Inputs& in) { fill(in, 1); }},
    {"constant 0.1", GradSource::kRandom, [](Inputs& in) { fill(in, 0.1f); }},
    {"constant 10", GradSource::kRandom, [](Inputs& in) { fill(in, 10); }},
    {"one sign", GradSource::kRandom,
     [](Inputs& in) { all(in, [](float x) { return std::abs(x); }); }},
    {"equal keys", GradSource::kRandom, [](Inputs& in) { repeat_rows(in.k, 1); }},
    {"repeated tokens", GradSource::kRandom,
     [](Inputs& in) {
       for (Tensor* t : {&in.k, &in.v}) repeat_rows(*t, 3);
     }},
    {"equal queries", GradSource::kRandom,
     [](Inputs& in) {
       for (Tensor* t : {&in.q, &in.d_o}) repeat_rows(*t, 1);
     }},
    {"equal queries not dO", GradSource::kRandom, [](Inputs& in) { repeat_rows(in.q, 1); }},
    {"two kinds of queries", GradSource::kRandom, [](Inputs& in) { repeat_rows(in.q, 2); }},
    {"Q = 0", GradSource::kRandom, [](Inputs& in) { each(in.q, [](float) { return 0.0f; }); }},
    {"Q x0.001", GradSource::kRandom,
     [](Inputs& in) { each(in.q, [](float x) { return x * 1e-3f; }); }},
    {"V and dO drift", GradSource::kRandom,
     [](Inputs& in) {
       for (Tensor* t : {&in.v, &in.d_o}) drift(*t);
     }},
    {"products come and go", GradSource::kRandom, wave_of_channels},
    {"V + 4", GradSource::kRandom, [](Inputs& in) { each(in.v, [](float x) { return x + 4; }); }},
    {"V = 1", GradSource::kRandom, [](Inputs& in) { each(in.v, [](float) { return 1.0f; }); }},
    {"equal channels", GradSource::kOnes,
     [](Inputs& in) {
       for (Tensor* t : {&in.q, &in.k, &in.v})
         for (std::int64_t i = 0; i < t->count(); ++i) t->set(i, t->at(i - i % t->dims().d));
     }},
    {"channel of K x10", GradSource::kRandom, [](Inputs& in) { enlarge_channel(in.k, 10); }},
    {"channel of Q x100", GradSource::kRandom, [](Inputs& in) { enlarge_channel(in.q, 100); }},
    {"channel of V x10000", GradSource::kRandom,
     [](Inputs& in) { enlarge_channel(in.v, factor(in.v, 1e4f)); }},
    {"channel of dO x1000", GradSource::kRandom,
     [](Inputs& in) { enlarge_channel(in.d_o, factor(in.d_o, 1e3f)); }},
    {"channel of K and V x16", GradSource::kRandom,
     [](Inputs& in) {
       for (Tensor* t : {&in.k, &in.v}) enlarge_channel(*t, 16);
     }},
    {"rows of V x1000", GradSource::kRandom,
     [](Inputs& in) { enlarge_rows(in.v, factor(in.v, 1e3f)); }},
    {"rows of K x10", GradSource::kRandom, [](Inputs& in) { enlarge_rows(in.k, 10); }},
    {"rows of Q x10", GradSource::kRandom, [](Inputs& in) { enlarge_rows(in.q, 10); }},
    {"rows of dO x1000", GradSource::kRandom,
     [](Inputs& in) { enlarge_rows(in.d_o, factor(in.d_o, 1e3f)); }},
    {"V near the largest", GradSource::kOnes,
     [](Inputs& in) {
       const float times = large(in.v) / 8;
       each(in.v, [=](float x) { return x * times; });
       each(in.d_o, [=](float x) { return x / times; });
     }},
    {"V subnormal", GradSource::kRandom,
     [](Inputs& in) {
       const float times = in.v.dtype() == Dtype::kF16 ? 1e-6f : 1e-39f;
       each(in.v, [=](float x) { return x * times; });
     }},
    {"dO x0.001", GradSource::kRandom,
     [](Inputs& in) { each(in.d_o, [](float x) { return x * 1e-3f; }); }},
    {"queries and dO of two kinds", GradSource::kRandom,
     [](Inputs& in) {
       alternate(in.q, 0.1f, 0.01f);
       if (!in.d_o.empty()) alternate(in.d_o, 1, 0.01f);
     }},
    {"keys of two kinds", GradSource::kRandom,
     [](Inputs& in) {
       alternate(in.k, 0.1f, 0.01f);
       alternate(in.v, 1, 0.01f);
     }},
    {"one-hot V", GradSource::kOnes, [](Inputs& in) { one_hot(in.v); }},
    {"eight queries and a ramp of dO", GradSource::kRandom,
     [](Inputs& in) {
       repeat_rows(in.q, 8);
       each(in.v, [](float x) { return std::abs(x); });
       if (!in.d_o.empty()) ramp(in.d_o);
     }},
};

}  // namespace flashbench::host
