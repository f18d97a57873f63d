#include "app/check/repetition.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

#include "report/verdict_line.h"

namespace flashbench::app {
namespace {

constexpr std::pair<const char*, Tensor Outputs::*> kOutputs[] = {
    {"o", &Outputs::o},        {"lse", &Outputs::lse}, {"dq", &Outputs::dq},
    {"dk", &Outputs::dk},      {"dv", &Outputs::dv},   {"dsinks", &Outputs::dsinks},
    {"dbias", &Outputs::dbias}};

bool same_bits(const Tensor& a, const Tensor& b, std::int64_t element) {
  const std::size_t size = size_bytes(a.dtype()), at = static_cast<std::size_t>(element) * size;
  return std::memcmp(static_cast<const std::byte*>(a.data()) + at,
                     static_cast<const std::byte*>(b.data()) + at, size) == 0;
}

std::array<std::int64_t, 4> index_of(const Dims& dims, std::int64_t element) {
  const std::int64_t row = element / dims.d;
  return {row / dims.rows / dims.h, row / dims.rows % dims.h, row % dims.rows, element % dims.d};
}

std::optional<double> number(const Tensor& t, std::int64_t element) {
  const double x = static_cast<double>(t.at(element));
  return std::isfinite(x) ? std::optional(x) : std::nullopt;
}

std::string text(const std::optional<double>& x) {
  return x ? fmt::format("{:.9g}", *x) : "not a finite number";
}

}  // namespace

Repetition::Repetition(Outputs first) : first_(std::move(first)) {
  result_.launches = 1;
  for (const auto& [name, output] : kOutputs) {
    const std::int64_t count = (first_.*output).count();
    if (count == 0) continue;
    result_.tensors.push_back({.tensor = name});
    different_.emplace_back(static_cast<std::size_t>(count), false);
  }
}

void Repetition::add(const Outputs& again) {
  ++result_.launches;
  std::size_t n = 0;
  for (const auto& [name, output] : kOutputs) {
    const Tensor &first = first_.*output, &then = again.*output;
    if (first.empty()) continue;
    report::RepeatedTensor& repeated = result_.tensors[n];
    std::vector<bool>& different = different_[n++];
    if (std::memcmp(first.data(), then.data(), first.bytes()) == 0) continue;
    for (std::int64_t i = 0; i < first.count(); ++i) {
      if (different[static_cast<std::size_t>(i)] || same_bits(first, then, i)) continue;
      different[static_cast<std::size_t>(i)] = true;
      if (++repeated.different > 1) continue;
      repeated.index = index_of(first.dims(), i);
      repeated.launch = result_.launches;
      repeated.first = number(first, i);
      repeated.then = number(then, i);
    }
  }
}

std::optional<std::string> difference(const report::Repeats& repeats, Promise promise) {
  constexpr std::string_view kGradients[] = {"dq", "dk", "dv", "dbias"};
  for (const report::RepeatedTensor& t : repeats.tensors) {
    const bool gradient =
        std::find(std::begin(kGradients), std::end(kGradients), t.tensor) != std::end(kGradients);
    if (t.different == 0 || (gradient && promise == Promise::kWithoutGradients)) continue;
    return fmt::format(
        "{} is not the same in {} launches: {} element{} differ{}, first [{}]: {}, in launch {} {}",
        report::tensor_label(t.tensor), repeats.launches, t.different, t.different == 1 ? "" : "s",
        t.different == 1 ? "s" : "", report::index_text(t.tensor, *t.index), text(t.first),
        *t.launch, text(t.then));
  }
  return std::nullopt;
}

}  // namespace flashbench::app
