#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/rejection.h"
#include "kernel/backend.h"

namespace flashbench::guest {
class GuestBackend;
}

namespace flashbench::registry {

/// The backends of this program, the processor first. Later ones are accelerators: a request that
/// names no backend goes to the last one that is here and takes it.
const Backends& backends();

/// Those among them for guests: on the processor, and on GPUs.
std::vector<guest::GuestBackend*> guest_backends();

/// Every kernel of `backends`, the fast ones first, the papers' algorithm as written last.
std::vector<const Kernel*> kernels(const Backends& backends = registry::backends());

/// The backend of that name; nullptr where there is none.
Backend* find(const Backends& backends, const BackendId& id);
/// The backend that a kernel belongs to.
Backend& owner(const Backends& backends, const Kernel& kernel);

/// What the user asked for; absent fields are chosen.
struct Request {
  AttentionType type = AttentionType::kFlash;
  std::optional<BackendId> backend = {};
  std::string kernel = {};                ///< force one by name; empty: routed
  std::optional<GuestSource> guest = {};  ///< of the types that are guests'
  std::optional<PtxSource> ptx = {};      ///< a guest of type plugin that is PTX
  ExecutionRequest execution = {};
};

struct Route {
  Backend* backend;
  const Kernel* kernel;
  Execution execution;
};

/// The backend that answers a request, be it with a reason why not. Throws as route() does.
Backend& backend_of(const Request& r, const Backends& backends = registry::backends());

/// The kernel for a problem, or why none of `backends` takes it. Throws UsageError for a kernel or
/// a backend that is not among them.
std::variant<Route, Rejection> route(const Problem& p, const Request& r,
                                     const Backends& backends = registry::backends());

}  // namespace flashbench::registry
