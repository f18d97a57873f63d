#include "distributed/arrangement.h"

#include <fmt/format.h>

#include <string>
#include <utility>

namespace flashbench::distributed {

std::optional<Rejection> invalid(const Arrangement& of) {
  const auto bad = [](std::string reason) {
    return Rejection{Rejection::Kind::kInvalid, std::move(reason)};
  };
  if (of.method == Method::kUlysses && of.ulysses != 1 && of.ulysses != of.ranks)
    return bad(
        fmt::format("--context_parallel ulysses splits heads over all ranks; leave out "
                    "--ulysses {}, or use ring",
                    of.ulysses));
  if (of.ranks % of.ulysses != 0)
    return bad(fmt::format("--ulysses {} does not divide --ranks {}", of.ulysses, of.ranks));
  if (of.window != 0 && of.method != Method::kRing)
    return bad("--ring_window is for --context_parallel ring");
  if (of.window != 0 && of.ring() % of.window != 0)
    return bad(fmt::format("--ring_window {} does not divide the {} ranks of the ring", of.window,
                           of.ring()));
  return std::nullopt;
}

}  // namespace flashbench::distributed
