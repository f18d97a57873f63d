#include "core/problem.h"

#include <fmt/format.h>

#include <limits>

namespace flashbench {
namespace {

/// Quotes a word for a POSIX shell where it needs it.
std::string shell_word(const std::string& word) {
  static constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,+%@";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string file_flags(const Problem& p) {
  const InputFiles& f = p.files;
  const InputFiles defaults;
  std::string text;
  const auto add = [&](std::string_view flag, const std::string& value, const std::string& unless) {
    if (value != unless) text += fmt::format(" {} {}", flag, shell_word(value));
  };
  add("--input", f.bundle, "");
  add("--q", f.q, "");
  add("--k", f.k, "");
  add("--v", f.v, "");
  if (f.any()) {
    add("--q_name", f.q_name, defaults.q_name);
    add("--k_name", f.k_name, defaults.k_name);
    add("--v_name", f.v_name, defaults.v_name);
    add("--do_name", f.do_name, defaults.do_name);
    add("--mask_name", f.mask_name, defaults.mask_name);
    add("--layout", std::string(name(f.layout)), std::string(name(defaults.layout)));
  }
  return text;
}

}  // namespace

std::string Problem::flags() const {
  const Shape& s = shape;
  std::string text = fmt::format("--b {} --h {}", s.b, s.h);
  if (s.h_kv != s.h) text += fmt::format(" --h_kv {}", s.h_kv);
  text += fmt::format(" --q_len {} --kv_len {} --d {} --dtype {} --pass {}", s.q_len, s.kv_len, s.d,
                      name(dtype), name(pass));
  if (causal) text += " --causal";
  if (padding == PaddingMask::kRandom) {
    text += " --mask random";
    if (mask_keep != Problem{}.mask_keep) text += fmt::format(" --mask_keep {}", mask_keep);
  } else if (padding == PaddingMask::kFile) {
    // A mask inside the bundle is used without being asked for.
    if (!files.mask.empty()) text += " --mask " + shell_word(files.mask);
  } else if (files.any()) {
    text += " --mask none";
  }
  if (scale) text += fmt::format(" --scale {}", *scale);
  if (seed != 0) text += fmt::format(" --seed {}", seed);
  if (d_o == GradSource::kRandom) text += " --do random";
  // A gradient inside the bundle is used without being asked for.
  if (d_o == GradSource::kOnes && !files.bundle.empty() && needs_gradients()) text += " --do ones";
  if (d_o == GradSource::kFile && !files.d_o.empty()) text += " --do " + shell_word(files.d_o);
  return text + file_flags(*this);
}

std::optional<Rejection> invalid(const Problem& p) {
  constexpr auto kInvalid = Rejection::Kind::kInvalid;
  const Shape& s = p.shape;
  const std::pair<const char*, std::int64_t> sizes[] = {
      {"b", s.b},           {"h", s.h}, {"h_kv", s.h_kv}, {"q_len", s.q_len},
      {"kv_len", s.kv_len}, {"d", s.d}, {"d_v", s.d_v()}};
  for (const auto& [flag, value] : sizes)
    if (value < 1 || value > std::numeric_limits<std::int32_t>::max())
      return Rejection{kInvalid, fmt::format("--{} must be between 1 and {}, got {}", flag,
                                             std::numeric_limits<std::int32_t>::max(), value)};
  for (const auto& [flag, value] : {std::pair("d", s.d), std::pair("d_v", s.d_v())})
    if (value > kMaxHeadDim)
      return Rejection{kInvalid, fmt::format("--{} {} exceeds {}, the largest head dimension", flag,
                                             value, kMaxHeadDim)};
  if (s.h % s.h_kv != 0) {
    std::string divisors;
    for (std::int64_t i = 1; i <= s.h; ++i)
      if (s.h % i == 0) divisors += fmt::format("{}{}", divisors.empty() ? "" : ", ", i);
    return Rejection{kInvalid, fmt::format("--h_kv {} does not divide --h {}; use one of {}",
                                           s.h_kv, s.h, divisors)};
  }
  // Element counts and byte sizes stay well inside 63 bits.
  const double largest = static_cast<double>(s.b) * static_cast<double>(s.h) *
                         static_cast<double>(std::max(s.q_len, s.kv_len)) *
                         static_cast<double>(s.widest_d());
  if (largest > 0x1p56)
    return Rejection{kInvalid,
                     fmt::format("the tensors would have {:.3g} elements, more than any machine "
                                 "addresses; use smaller --b, --h, --q_len, --kv_len or --d",
                                 largest)};
  if (!(p.mask_keep >= 0 && p.mask_keep <= 1))
    return Rejection{kInvalid,
                     fmt::format("--mask_keep must be between 0 and 1, got {}", p.mask_keep)};
  if (p.scale && !std::isfinite(*p.scale))
    return Rejection{kInvalid, fmt::format("--scale must be finite, got {}", *p.scale)};
  return std::nullopt;
}

}  // namespace flashbench
