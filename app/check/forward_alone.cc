#include "app/check/forward_alone.h"

#include <cstddef>
#include <utility>

namespace flashbench::app {
namespace {

bool lacks_gradients(const RoutedCase& c) {
  return is_guest(c.request.type) && c.request.problem.pass == Pass::kBoth && c.skipped &&
         c.skipped->kind == Rejection::Kind::kUnsupported;
}

NamedCase forward_of(const NamedCase& both) {
  NamedCase forward = both;
  Problem& p = forward.request.problem;
  p.pass = Pass::kForward;
  p.d_o = Problem{}.d_o;
  p.bias_grad = false;
  return forward;
}

}  // namespace

void ask_guests_for_forward_alone(std::vector<NamedGroup>& named, std::vector<RoutedGroup>& groups,
                                  const std::vector<std::string>& given, const Backends& backends) {
  const std::size_t count = groups.size();
  for (std::size_t i = 0; i < count; ++i) {
    NamedGroup alone;
    sweep::Group asked;
    std::vector<std::size_t> places;
    for (std::size_t j = 0; j < groups[i].cases.size(); ++j) {
      if (!lacks_gradients(groups[i].cases[j])) continue;
      alone.cases.push_back(forward_of(named[i].cases[j]));
      asked.cases.push_back(alone.cases.back().request);
      places.push_back(j);
    }
    if (places.empty()) continue;
    RoutedGroup routed = route_group(asked, given, backends);
    for (std::size_t n = places.size(); n-- > 0;) {
      const auto at = static_cast<std::ptrdiff_t>(n);
      const auto from = static_cast<std::ptrdiff_t>(places[n]);
      if (routed.cases[n].runs()) {
        named[i].cases.erase(named[i].cases.begin() + from);
        groups[i].cases.erase(groups[i].cases.begin() + from);
      } else {
        alone.cases.erase(alone.cases.begin() + at);
        routed.cases.erase(routed.cases.begin() + at);
      }
    }
    if (alone.cases.empty()) continue;
    named.push_back(std::move(alone));
    groups.push_back(std::move(routed));
  }
}

}  // namespace flashbench::app
