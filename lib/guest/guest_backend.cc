#include "guest/guest_backend.h"

#include <fmt/format.h>

#include <stdexcept>

#include "guest/in_process.h"
#include "guest/library.h"
#include "guest/protocol.h"
#include "guest/ptx_kernel.h"
#include "guest/worker.h"
#include "system/error.h"
#include "system/quote.h"
#include "system/sha256.h"
#include "system/team.h"

namespace flashbench::guest {
namespace {

/// As reports say it.
std::string abi_of(const GuestSource& source) {
  if (source.kind == GuestSource::Kind::kWorker) return fmt::format("worker {}", kProtocol);
  switch (source.abi) {
    case PluginAbi::kFlashbenchKernel:
      return fmt::format("{} {}", name(source.abi), FBK_VERSION);
    case PluginAbi::kTvmFfi:
      return std::string(name(source.abi));
  }
  no_such_enumerator();
}

/// A guest that hangs is not asked for ever: a suite has thousands of problems.
constexpr int kMostHangs = 3;

/// Of a plug-in's file; what a command runs only it knows.
std::optional<std::string> sha256_of(const GuestSource& source, const GuestSettings& settings) {
  if (source.kind != GuestSource::Kind::kPlugin) return std::nullopt;
  try {
    return sha256_of_file(split_name(source.text).first, settings.stop_requested);
  } catch (const UsageError& e) {
    throw UsageError(fmt::format("--plugin {}: {}", quote(source.text), e.what()));
  }
}

const Worker* worker_of(const std::shared_ptr<Guest>& guest) {
  return dynamic_cast<const Worker*>(guest.get());
}

bool alive(const std::shared_ptr<Guest>& guest) {
  const Worker* worker = worker_of(guest);
  return guest && (worker == nullptr || worker->alive());
}

}  // namespace

GuestBackend::GuestBackend(Backend& own) : own_(own), info_(own.info()) {
  info_.title = "guests";
  info_.takes_isa = false;
  info_.of_guests = true;
}

std::optional<std::string> GuestBackend::absent(std::optional<int> device) {
  if (device != kEmulatedDevice) return own_.absent(device);
  if (settings_.program.empty())
    return "plug-ins find its driver in a process of their own alone; leave out --isolate false";
  if (settings_.emulated_driver.empty())
    return "the library of its driver, libcuda.so.1, is not where this program was installed";
  return std::nullopt;
}

const BackendInfo& GuestBackend::info() const { return info_; }

std::vector<const Kernel*> GuestBackend::kernels_of(const GuestSource& source) {
  // Of tvm-ffi the name is a symbol's, without which there is nothing to load.
  const bool has_names =
      source.kind == GuestSource::Kind::kPlugin && source.abi == PluginAbi::kFlashbenchKernel;
  const auto [text, wanted] =
      has_names ? split_name(source.text) : std::pair(source.text, std::string());
  Loaded& from = loaded({source.kind, text, source.abi, source.emulated});
  std::vector<const Kernel*> found;
  std::string names;
  for (const auto& kernel : from.kernels) {
    names += (names.empty() ? "" : ", ") + kernel->info().name;
    if (wanted.empty() || wanted == kernel->info().name) found.push_back(kernel.get());
  }
  if (found.empty())
    throw UsageError(
        fmt::format("--plugin {} has no kernel {}; it has {}", quote(text), quote(wanted), names));
  return found;
}

std::vector<const Kernel*> GuestBackend::kernels_of(const PtxSource& source) {
  for (const auto& [known, kernel] : ptx_)
    if (known == source) return {kernel.get()};
  ptx_.emplace_back(source, std::make_unique<PtxKernel>(
                                source.file, source.launch,
                                [this](const Problem& p, const Execution& e,
                                       const flashbench::Operands& io) { forward(p, e, io); },
                                settings_.stop_requested));
  kernels_.push_back(ptx_.back().second.get());
  return {kernels_.back()};
}

GuestBackend::Loaded& GuestBackend::loaded(const GuestSource& source) {
  for (const auto& known : loaded_)
    if (known->source == source) return *known;
  for (const auto& [known, why] : absent_)
    if (known == source) throw UnavailableError(why);
  auto fresh = std::make_unique<Loaded>();
  fresh->source = source;
  fresh->sha256 = sha256_of(source, settings_);
  Loaded& of = *fresh;
  Execution any;
  any.threads = team::default_threads();
  if (source.emulated) any.device = kEmulatedDevice;
  std::shared_ptr<Guest> first;
  try {
    first = guest(of, any);
  } catch (const AbsentError& e) {  // a suite asks a thousand times
    absent_.emplace_back(source, e.what());
    throw;
  }
  const bool plugin = source.kind == GuestSource::Kind::kPlugin;
  const Host host{[this, &of](const Execution& e) { return guest(of, e); },
                  [this](const Problem& p, const Execution& e, const flashbench::Operands& io) {
                    forward(p, e, io);
                  },
                  &queue_,
                  abi_of(source),
                  of.sha256,
                  !plugin || !settings_.program.empty(),
                  settings_.flags,
                  [this](const std::string& line) { warn(line); },
                  [this](const Execution& e) { return has_copies(e); }};
  const AttentionType type = plugin ? AttentionType::kPlugin : AttentionType::kWorker;
  for (std::size_t i = 0; i < first->kernels().size(); ++i) {
    of.kernels.push_back(std::make_unique<GuestKernel>(type, i, first->kernels()[i], host));
    kernels_.push_back(of.kernels.back().get());
  }
  loaded_.push_back(std::move(fresh));
  return of;
}

/// Once: a plan is made for each run of a case.
void GuestBackend::warn(const std::string& line) {
  if (settings_.stop_requested && settings_.stop_requested()) return;
  if (settings_.warn && warned_.insert(line).second) settings_.warn(line);
}

std::shared_ptr<Guest> GuestBackend::guest(Loaded& of, const Execution& e) {
  // One for all problems of a GPU, so that a fault there ends what no other GPU needs.
  std::shared_ptr<Guest>& kept =
      of.guests[has_copies(e) ? guest::on_gpu(e.device) : std::to_string(e.threads)];
  if (alive(kept)) return kept;
  if (settings_.stop_requested && settings_.stop_requested()) throw DeviceError("interrupted");
  if (const Worker* last = worker_of(kept); last != nullptr && last->hung()) ++of.hangs;
  kept.reset();
  if (of.hangs >= kMostHangs)
    throw DeviceError(fmt::format("it has hung {} times and is not asked any more", of.hangs));
  try {
    if (!of.kernels.empty() && sha256_of(of.source, settings_) != of.sha256)
      throw std::runtime_error("its file is another one than when the run began");
    kept = load(of.source, e);
  } catch (const std::runtime_error& why) {
    if (of.kernels.empty()) throw;  // it was never there
    throw DeviceError(fmt::format("its worker cannot be started again: {}", why.what()));
  }
  return kept;
}

std::shared_ptr<Guest> GuestBackend::load(const GuestSource& source, const Execution& e) const {
  const int threads = has_copies(e) ? team::default_threads() : e.threads;
  const bool emulated = e.device == kEmulatedDevice;
  WorkerSettings worker;
  worker.threads = threads;
  worker.device = has_copies(e) ? guest::on_gpu(std::max(e.device, 0)) : kOnProcessor;
  worker.patience_s = settings_.patience_s;
  worker.stop_requested = settings_.stop_requested;
  if (source.kind == GuestSource::Kind::kPlugin) {
    if (settings_.program.empty())
      return std::make_shared<InProcess>(source.text, source.abi, threads);
    worker.argv = {settings_.program, kServePlugin, std::string(name(source.abi)), source.text,
                   emulated ? settings_.emulated_driver : ""};
    worker.shown = fmt::format("--plugin {}", quote(source.text));
  } else {
    worker.argv = {"/bin/sh", "-c", source.text};
    worker.shown = fmt::format("--worker {}", quote(source.text));
  }
  return std::make_shared<Worker>(std::move(worker));
}

/// By the first kernel of this program that takes it there.
void GuestBackend::forward(const Problem& p, const Execution& e, const flashbench::Operands& io) {
  Problem forward = p;
  forward.pass = Pass::kForward;
  ExecutionRequest asked;
  if (on_gpu())
    asked.device = e.device;
  else
    asked.threads = e.device == kEmulatedDevice ? 0 : e.threads;
  const Execution execution = own_.execution(asked, p.dtype);
  for (const Kernel* k : own_.kernels()) {
    if (k->refuses(forward, execution)) continue;
    const std::unique_ptr<flashbench::Plan> plan = k->plan(forward, execution, *io.in);
    plan->prepare(io);
    plan->launch(io);
    plan->collect(io);
    return;
  }
  throw UnavailableError("no kernel of this program gives the forward that it takes as given");
}

Execution GuestBackend::execution(const ExecutionRequest& asked, Dtype dtype) {
  if (asked.device == kEmulatedDevice)
    return {.device = kEmulatedDevice, .deterministic = asked.deterministic};
  Execution e = own_.execution(asked, dtype);
  if (on_gpu()) e.threads = team::default_threads();  // of the guest's process
  return e;
}

Place GuestBackend::place(const Execution& e) {
  if (e.device == kEmulatedDevice)
    return {.isa = {}, .threads = {}, .device = device_text(e.device)};
  return own_.place(e);  // the ISA level is that of the peaks that it is measured by
}

ExecutionTraits GuestBackend::traits(const Execution& e) {
  if (e.device == kEmulatedDevice) return {.has_speed = false, .seeded_order = true};
  if (on_gpu()) return {.flushes_caches = true, .times_itself = true, .own_memory = true};
  return {.times_itself = true, .host_threads = e.threads};
}

/// The guest's process queues its work elsewhere: it must not begin before this is done.
void GuestBackend::flush_caches(const Execution& e) {
  own_.queued_s(e, [&] { own_.flush_caches(e); });
}

std::optional<DeviceReading> GuestBackend::read(const Execution& e) {
  return on_gpu() ? own_.read(e) : std::nullopt;
}
std::optional<DeviceReading> GuestBackend::read_clocks(const Execution& e) {
  return on_gpu() ? own_.read_clocks(e) : std::nullopt;
}

double GuestBackend::queued_s(const Execution&, const std::function<void()>& work) {
  return queue_.collect(work);
}

bool GuestBackend::same_peaks(const Execution& a, const Execution& b) {
  return own_.same_peaks(a, b);
}
double GuestBackend::peak_flop_s(const Execution& e, Dtype dtype) {
  return own_.peak_flop_s(e, dtype);
}
double GuestBackend::peak_bytes_s(const Execution& e) { return own_.peak_bytes_s(e); }
PeakSubject GuestBackend::peak_subject(const Execution& e, std::optional<Dtype> dtype) {
  return own_.peak_subject(e, dtype);
}
std::optional<double> GuestBackend::energy_j(const Execution& e) { return own_.energy_j(e); }

}  // namespace flashbench::guest
