#include "kernel/supports.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <vector>

namespace flashbench {
namespace {

std::string joined(const std::vector<std::string_view>& words) {
  return fmt::format("{}", fmt::join(words, " and "));
}

std::string names_of(const DtypeSet& dtypes) {
  std::vector<std::string_view> names;
  for (const Dtype t : kEnumerators<Dtype>)
    if (dtypes.has(t)) names.push_back(name(t));
  return joined(names);
}

}  // namespace

std::string flags_of(const Features& features) {
  std::vector<std::string_view> flags;
  for (const Feature f : kEnumerators<Feature>)
    if (features.has(f)) flags.push_back(flag(f));
  return joined(flags);
}

Demand demand_of(const Problem& p) { return {used(p), p.dtype, p.shape.d, p.shape.d_v()}; }

std::optional<Rejection> unsupported(std::string_view kernel, const Supports& s,
                                     const Demand& asked) {
  const auto because = [](std::string reason) {
    return Rejection{Rejection::Kind::kUnsupported, std::move(reason)};
  };
  switch (lack(s, asked)) {
    case Lack::kNone:
      return std::nullopt;
    case Lack::kFeature:
      return because(
          fmt::format("{} does not support {}", kernel, flags_of(asked.features - s.features)));
    case Lack::kDtype:
      return because(
          fmt::format("{} takes {}, not {}", kernel, names_of(s.dtypes), name(asked.dtype)));
    case Lack::kHeadDim:
      return because(
          fmt::format("{} takes head dimensions up to {}, not {}", kernel, s.max_d, asked.d));
    case Lack::kValueDim:
      return because(fmt::format("{} takes head dimensions of values up to {}, not {}", kernel,
                                 s.max_d_v > 0 ? s.max_d_v : s.max_d, asked.d_v));
    case Lack::kNotOfItsKind:
      return because(fmt::format("{} is for {} alone", kernel, flags_of(s.only_for)));
  }
  no_such_enumerator();
}

}  // namespace flashbench
