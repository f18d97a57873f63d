#include "registry/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ranges>

#include "cpu/backend.h"
#include "cuda/backend.h"
#include "guest/guest_backend.h"
#include "paper/paper_kernel.h"
#include "system/error.h"

namespace flashbench::registry {
namespace {

using Kind = Rejection::Kind;

bool is_of(Backend& backend, const Kernel& kernel) {
  const std::vector<const Kernel*>& own = backend.kernels();
  return std::find(own.begin(), own.end(), &kernel) != own.end();
}

bool computes(Backend& backend, AttentionType type) {
  const std::vector<const Kernel*>& own = backend.kernels();
  return std::any_of(own.begin(), own.end(),
                     [&](const Kernel* k) { return k->info().type == type; });
}

const Kernel& kernel_named(const Backends& backends, const std::string& name) {
  std::vector<std::string> names;
  for (const Kernel* k : kernels(backends)) {
    if (k->info().name == name) return *k;
    names.push_back(k->info().name);
  }
  throw UsageError(fmt::format("unknown kernel '{}'; use one of {}", name, fmt::join(names, ", ")));
}

/// A flag of the request that a backend has no use for, by name.
std::optional<Rejection> idle_flag(const BackendInfo& of, const ExecutionRequest& asked,
                                   const std::string& where) {
  const auto refuse = [&](const std::string& flag) {
    return Rejection{Kind::kUnsupported,
                     fmt::format("{} is of the processor; {} has none", flag, where)};
  };
  if (asked.isa && !of.takes_isa) return refuse(fmt::format("--isa {}", name(*asked.isa)));
  if (asked.threads > 0 && !of.takes_threads)
    return refuse(fmt::format("--threads {}", asked.threads));
  return std::nullopt;
}

/// An ISA level that is not here. Asked once for all kernels: one of plain C++ would run all the
/// same, under the name of a level that it never used.
std::optional<Rejection> absent_isa(Backend& backend, const ExecutionRequest& asked) {
  if (!asked.isa) return std::nullopt;
  for (const IsaStatus& level : backend.isas())
    if (level.isa == *asked.isa && level.absent) return Rejection{Kind::kAbsent, *level.absent};
  return std::nullopt;
}

/// Of a plug-in whose calls of the driver are executed by the emulated device.
std::optional<Rejection> refusal_of_emulated(const Request& r) {
  const auto refuse = [](const std::string& why) {
    return Rejection{Kind::kUnsupported,
                     fmt::format("--device {} {}", device_text(kEmulatedDevice), why)};
  };
  if (r.type == AttentionType::kWorker)
    return refuse(
        "executes the PTX of --ptx FILE, and what a --plugin launches; a --worker wants a GPU");
  if (r.execution.threads > 0)
    return refuse(fmt::format("has no threads; leave out --threads {}", r.execution.threads));
  return std::nullopt;
}

/// Flags that a guest has no use for.
std::optional<Rejection> refusal_of_guest(const Request& r) {
  const std::string type(name(r.type));
  if (r.ptx) {
    if (r.execution.device != kEmulatedDevice)
      return Rejection{
          Kind::kUnsupported,
          "--ptx runs on the emulated device alone; add --device " + device_text(kEmulatedDevice)};
    const auto leave_out = [](const std::string& flag) {
      return Rejection{Kind::kUnsupported,
                       fmt::format("--ptx is executed as a GPU would; leave out {}", flag)};
    };
    if (r.backend) return leave_out(fmt::format("--backend {}", name(*r.backend)));
    if (r.execution.isa) return leave_out(fmt::format("--isa {}", name(*r.execution.isa)));
    if (r.execution.threads > 0) return leave_out(fmt::format("--threads {}", r.execution.threads));
    return std::nullopt;
  }
  if (r.execution.device == kEmulatedDevice) return refusal_of_emulated(r);
  if (r.execution.isa)
    return Rejection{Kind::kUnsupported,
                     fmt::format("--isa {} is of the program's own kernels, not of --type {}",
                                 name(*r.execution.isa), type)};
  return std::nullopt;
}

/// Why a backend does not compute what was asked, whatever its kernels say.
std::optional<Rejection> refusal(Backend& backend, const ExecutionRequest& asked) {
  const std::string where = asked.device ? fmt::format("--device {}", device_text(*asked.device))
                                         : fmt::format("--backend {}", name(backend.info().id));
  if (const auto why = backend.absent(asked.device))
    return Rejection{Kind::kAbsent, fmt::format("{} is not available: {}", where, *why)};
  if (auto idle = idle_flag(backend.info(), asked, where)) return idle;
  return absent_isa(backend, asked);
}

std::variant<Execution, Rejection> execution_of(Backend& backend, const ExecutionRequest& asked,
                                                Dtype dtype) {
  try {
    return backend.execution(asked, dtype);
  } catch (const UnavailableError& e) {
    return Rejection{Kind::kAbsent, e.what()};
  }
}

/// Who loads guests: for the processor, unless a request names a GPU. The emulated device is one of
/// the processor.
Backend& backend_of_guests(const Request& r, const Backends& backends) {
  const bool emulated = r.ptx || r.execution.device == kEmulatedDevice;
  const bool on_device =
      !emulated && (r.backend ? *r.backend != kProcessor : r.execution.device.has_value());
  for (Backend* b : backends)
    if (b->info().of_guests && b->info().takes_device() == on_device) return *b;
  return *backends.front();
}

/// The backend of a request that names none.
Backend& choose_backend(const Backends& backends, const Request& r) {
  // A device is named for whoever has devices, present or not: its reason is what the user needs.
  if (r.execution.device)
    for (Backend* b : std::views::reverse(backends))
      if (b->info().takes_device() && !b->info().of_guests) return *b;
  if (!r.kernel.empty()) return owner(backends, kernel_named(backends, r.kernel));
  for (Backend* b : std::views::reverse(backends))
    if (!b->info().of_guests && !refusal(*b, r.execution) && computes(*b, r.type)) return *b;
  return *backends.front();
}

Rejection no_kernel(const Backends& backends, AttentionType type) {
  for (Backend* b : backends)
    if (type == AttentionType::kPaper && computes(*b, type))
      return {Kind::kUnsupported,
              fmt::format("type paper is the papers' algorithm as written, for the processor; use "
                          "--backend {}",
                          name(b->info().id))};
  return {Kind::kUnsupported, fmt::format("no kernel of type {} in this build", name(type))};
}

std::variant<Route, Rejection> route_forced(const Problem& p, const Request& r, Backend& backend,
                                            const Execution& execution, const Backends& backends) {
  const Kernel& forced = kernel_named(backends, r.kernel);
  if (!is_of(backend, forced))
    return Rejection{Kind::kUnsupported,
                     fmt::format("kernel {} is of backend {}, not {}", r.kernel,
                                 name(owner(backends, forced).info().id), name(backend.info().id))};
  if (forced.info().type != r.type)
    return Rejection{Kind::kUnsupported, fmt::format("kernel {} computes type {}, not {}", r.kernel,
                                                     name(forced.info().type), name(r.type))};
  if (auto why = forced.refuses(p, execution)) return *why;
  return Route{&backend, &forced, execution};
}

/// The kernel of the guest that takes the problem; where none does, what the first says.
std::variant<Route, Rejection> route_guest(const Problem& p, const Request& r, Backend& backend) {
  if (!r.ptx && (!r.guest || r.guest->text.empty()))
    throw UsageError(fmt::format("--type {} needs --{} {}", name(r.type), name(r.type),
                                 r.type == AttentionType::kPlugin ? "FILE" : "COMMAND"));
  if (auto idle = refusal_of_guest(r)) return *idle;
  if (!r.ptx)
    if (auto why = refusal(backend, r.execution)) return *why;
  const std::variant<Execution, Rejection> chosen = execution_of(backend, r.execution, p.dtype);
  if (const auto* why = std::get_if<Rejection>(&chosen)) return *why;
  std::vector<const Kernel*> kernels;
  try {
    kernels = r.ptx ? backend.kernels_of(*r.ptx) : backend.kernels_of(*r.guest);
  } catch (const UnavailableError& e) {
    return Rejection{Kind::kAbsent, e.what()};
  }
  std::optional<Rejection> first;
  for (const Kernel* k : kernels) {
    auto why = k->refuses(p, std::get<Execution>(chosen));
    if (!why) return Route{&backend, k, std::get<Execution>(chosen)};
    if (!first) first = std::move(why);
  }
  return *first;
}

}  // namespace

const Backends& backends() {
  static cpu::CpuBackend processor({&paper::paper_kernel()});
  static cuda::CudaBackend cuda;
  static guest::GuestBackend guests(processor), guests_on_gpus(cuda);
  static const Backends all = {&processor, &cuda, &guests, &guests_on_gpus};
  return all;
}

std::vector<guest::GuestBackend*> guest_backends() {
  std::vector<guest::GuestBackend*> all;
  for (Backend* b : backends())
    if (b->info().of_guests) all.push_back(static_cast<guest::GuestBackend*>(b));
  return all;
}

std::vector<const Kernel*> kernels(const Backends& backends) {
  std::vector<const Kernel*> all;
  for (Backend* b : backends) all.insert(all.end(), b->kernels().begin(), b->kernels().end());
  std::stable_partition(all.begin(), all.end(),
                        [](const Kernel* k) { return k->info().type != AttentionType::kPaper; });
  return all;
}

Backend* find(const Backends& backends, const BackendId& id) {
  const auto found = std::find_if(backends.begin(), backends.end(),
                                  [&](const Backend* b) { return b->info().id == id; });
  return found == backends.end() ? nullptr : *found;
}

Backend& owner(const Backends& backends, const Kernel& kernel) {
  return **std::find_if(backends.begin(), backends.end(),
                        [&](Backend* b) { return is_of(*b, kernel); });
}

Backend& backend_of(const Request& r, const Backends& backends) {
  if (is_guest(r.type)) return backend_of_guests(r, backends);
  if (!r.backend) return choose_backend(backends, r);
  if (Backend* named = find(backends, *r.backend)) return *named;
  throw UsageError(fmt::format("unknown backend '{}'", name(*r.backend)));
}

std::variant<Route, Rejection> route(const Problem& p, const Request& r, const Backends& backends) {
  Backend& backend = backend_of(r, backends);
  if (is_guest(r.type)) return route_guest(p, r, backend);
  if (auto why = refusal(backend, r.execution)) return *why;
  const std::variant<Execution, Rejection> chosen = execution_of(backend, r.execution, p.dtype);
  if (const auto* why = std::get_if<Rejection>(&chosen)) return *why;
  const Execution& execution = std::get<Execution>(chosen);
  if (!r.kernel.empty()) return route_forced(p, r, backend, execution, backends);
  Rejection last = no_kernel(backends, r.type);
  std::optional<Rejection> of_specialist;
  const auto takes = [&](const Kernel& k) {
    if (k.info().type != r.type) return false;
    auto why = k.refuses(p, execution);
    if (!why) return true;
    if (is_specialist(k.supports(), used(p)))
      of_specialist = std::move(*why);
    else
      last = std::move(*why);
    return false;
  };
  const auto yields = [&](const Kernel& k) { return k.yields(p, execution); };
  if (const Kernel* k = first_choice(backend.kernels(), takes, yields))
    return Route{&backend, k, execution};
  return of_specialist.value_or(std::move(last));
}

}  // namespace flashbench::registry
