#pragma once

#include <optional>
#include <string_view>

#include "core/enumerators.h"
#include "core/rejection.h"
#include "distributed/partition.h"

// How attention is spread over ranks.
namespace flashbench::distributed {

enum class Method {
  kNone,       ///< one rank has everything
  kRing,       ///< K and V travel from rank to rank (Liu, Zaharia, Abbeel 2023, arXiv 2310.01889)
  kAllGather,  ///< every rank gets all of K and V first (TransformerEngine, Llama 3)
  kUlysses,    ///< rows for heads, all to all (Jacobs et al. 2023, arXiv 2309.14509)
};

constexpr std::string_view name(Method method) {
  switch (method) {
    case Method::kNone:
      return "none";
    case Method::kRing:
      return "ring";
    case Method::kAllGather:
      return "all_gather";
    case Method::kUlysses:
      return "ulysses";
  }
  no_such_enumerator();
}

/// What carries messages from rank to rank.
enum class Engine {
  kThreads,  ///< memory: ranks are threads of one process
};

constexpr std::string_view name(Engine engine) {
  switch (engine) {
    case Engine::kThreads:
      return "threads";
  }
  no_such_enumerator();
}

/// Rank u + U·r has part u of the rows of member r of a ring of ranks/U, and after the exchange of
/// rows for heads all rows of that member, of heads [u·h/U, (u + 1)·h/U) (USP, Fang and Zhao 2024,
/// arXiv 2405.07719).
struct Arrangement {
  Method method = Method::kNone;
  int ranks = 1;
  int ulysses = 1;  ///< U, divides ranks and h_kv; what Method::kUlysses makes of all ranks
  /// Members of an inner ring, divides those of the ring: its keys go round there while those of
  /// the next inner ring arrive (LoongTrain, Gu et al. 2024, arXiv 2406.18485). 0: all, one ring.
  int window = 0;
  SequenceLayout layout = SequenceLayout::kContiguous;

  constexpr int heads_over() const { return method == Method::kUlysses ? ranks : ulysses; }
  constexpr int ring() const { return ranks / heads_over(); }
  constexpr int inner_ring() const { return window == 0 ? ring() : window; }
};

/// Why nobody could arrange ranks so, by the names of flags; nullopt: it makes sense.
std::optional<Rejection> invalid(const Arrangement& of);

}  // namespace flashbench::distributed
