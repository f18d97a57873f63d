#include "guest/ptx_kernel.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/work.h"
#include "guest/guest.h"
#include "guest/ptx_plan.h"
#include "system/error.h"
#include "system/quote.h"
#include "system/sha256.h"
#include "system/text_file.h"

namespace flashbench::guest {
namespace {

constexpr std::size_t kDigits = 12;  // of a description, which is told in passing
constexpr std::size_t kMostPtxBytes = std::size_t{64} << 20;
/// Shared memory that a block may opt into, static and dynamic together.
std::size_t shared_bytes_of(int capability) {
  switch (capability) {
    case 75:
      return 64 * 1024;
    case 80:
    case 87:
      return 163 * 1024;
    case 86:
    case 89:
    case 120:
    case 121:
      return 99 * 1024;
    case 70:
    case 72:
      return 96 * 1024;
    default:
      return (capability < 70 ? 48 : 227) * 1024;
  }
}

std::shared_ptr<EmulatedModules> loaded(const std::string& path, const std::string& text,
                                        std::function<bool()> stop_requested) {
  const int target = ptx::target_of(text, path);
  auto emulated = std::make_shared<EmulatedModules>(
      EmulatedModules{ptx::Device({.compute_capability = target,
                                   .shared_bytes_per_block = shared_bytes_of(target),
                                   .dynamic_shared = ptx::DynamicShared::kAsOnGpus,
                                   .copies_race = false,
                                   .stop_requested = std::move(stop_requested)}),
                      {}});
  emulated->modules[""] = emulated->device.load(text, path);
  return emulated;
}

void check_argument(const LaunchArgument& a, const ptx::ParameterInfo& p) {
  const auto fail = [&](const std::string& got) {
    throw UsageError(fmt::format("{}: the kernel's parameter {} is {} of {} bytes, not {}", a.where,
                                 p.name, ptx::is_float(p.type) ? "a float" : "an integer", p.bytes,
                                 got));
  };
  const bool is_array = p.bytes != static_cast<std::size_t>(ptx::size_of(p.type));
  if (is_array)
    throw UsageError(
        fmt::format("{}: the kernel's parameter {} is a struct of {} bytes, which a "
                    "launch description cannot give",
                    a.where, p.name, p.bytes));
  if (!a.number) {
    if (p.bytes != 8 || ptx::is_float(p.type)) fail("an address");
    return;
  }
  const bool is_real = ptx::is_float(a.type);
  const bool any_bits = p.type == ptx::Type::kB32 || p.type == ptx::Type::kB64;
  if (p.bytes != static_cast<std::size_t>(ptx::size_of(a.type)) ||
      (!any_bits && is_real != ptx::is_float(p.type)))
    fail(fmt::format("{} of {} bytes", is_real ? "a float" : "an integer", ptx::size_of(a.type)));
}

void check_entry(EmulatedModules& emulated, const LaunchStep& step, const std::string& path) {
  const ptx::Module& module = emulated.modules.at(step.ptx);
  const std::vector<std::string> entries = emulated.device.kernels(module);
  if (std::find(entries.begin(), entries.end(), step.entry) == entries.end())
    throw UsageError(
        fmt::format("{}: {} has no entry {}; it has {}", step.where, path, quote(step.entry),
                    entries.empty() ? "none" : fmt::format("{}", fmt::join(entries, ", "))));
  const ptx::KernelInfo info = emulated.device.kernel(module, step.entry);
  if (info.parameters.size() != step.arguments.size())
    throw UsageError(fmt::format("{}: {} arguments for the {} parameters of {}", step.where,
                                 step.arguments.size(), info.parameters.size(), step.entry));
  for (std::size_t i = 0; i < info.parameters.size(); ++i)
    check_argument(step.arguments[i], info.parameters[i]);
}

std::string name_of(const LaunchDescription& d) {
  if (!d.name.empty()) return d.name;
  const std::vector<LaunchStep>& steps = d.forward.empty() ? d.backward : d.forward;
  for (const LaunchStep& s : steps)
    if (s.is_launch()) return s.entry;
  return "kernel";
}

}  // namespace

PtxKernel::PtxKernel(const std::string& path, const std::string& launch, Forward forward,
                     std::function<bool()> stop_requested)
    : forward_(std::move(forward)) {
  const std::string where = fmt::format("--launch {}", launch);
  const std::string text = read_text({path, "--ptx", "PTX", "a .ptx file", kMostPtxBytes});
  const std::string launch_text =
      read_text({launch, "--launch", "launch description", "a JSON file"});
  description_ = read_launch_description(launch_text, where);
  try {
    emulated_ = loaded(path, text, std::move(stop_requested));
    build_ = fmt::format("PTX for sm_{}, launched by {} {}",
                         emulated_->device.options().compute_capability,
                         std::filesystem::path(launch).filename().string(),
                         sha256_of(launch_text).substr(0, kDigits));
    for (const auto* steps : {&description_.forward, &description_.backward})
      for (const LaunchStep& s : *steps)
        if (s.is_launch()) load(s, path, launch);
  } catch (const ptx::PtxError& e) {
    throw UsageError(fmt::format("--ptx {}", e.what()));
  }
  std::vector<KernelFacts> facts = {{name_of(description_), description_.description, ""}};
  vet_names(facts, where);
  info_ = {facts[0].name, AttentionType::kPlugin, facts[0].description};
  sha256_ = sha256_of(text);
}

void PtxKernel::load(const LaunchStep& step, const std::string& path, const std::string& launch) {
  const std::string file =
      step.ptx.empty() ? path : std::filesystem::path(launch).replace_filename(step.ptx).string();
  if (!emulated_->modules.contains(step.ptx)) {
    const std::string text = read_text({file, step.where, "PTX", "a .ptx file", kMostPtxBytes});
    try {
      emulated_->modules[step.ptx] = emulated_->device.load(text, file);
    } catch (const ptx::PtxError& e) {
      throw UsageError(fmt::format("{}: {}", step.where, e.what()));
    }
    build_ += fmt::format(", with {} {}", step.ptx, sha256_of(text).substr(0, kDigits));
  }
  check_entry(*emulated_, step, file);
}

Supports PtxKernel::supports() const {
  return {description_.features, description_.dtypes, kMaxHeadDim};
}

std::optional<GuestFacts> PtxKernel::guest() const {
  return GuestFacts{build_, "launch description", sha256_, false};
}

std::optional<Rejection> PtxKernel::rejects(const Problem& p, const Execution& e) const {
  const auto because = [&](const std::string& why) {
    return Rejection{Rejection::Kind::kUnsupported, fmt::format("{}: {}", info_.name, why)};
  };
  if (e.deterministic) return because("nothing says that it is deterministic");
  if (description_.causal_alone && !p.causal) return because("it is causal");
  if (description_.forward.empty() && p.pass != Pass::kBackward)
    return because("it has no forward");
  try {
    const Variables v = variables_of(p);
    for (const Condition& c : description_.conditions)
      if (!c.holds(v)) return because(fmt::format("it requires {}", c.text));
    const auto no_address = [](const std::string&) { return ptx::Address{0}; };
    launches(description_.forward, v, no_address);
    if (p.needs_gradients()) launches(description_.backward, v, no_address);
    if (const auto too_much = does_not_fit(p, v)) return too_much;
  } catch (const UsageError& error) {  // a formula that has no value here
    return because(error.what());
  }
  return std::nullopt;
}

std::optional<Rejection> PtxKernel::does_not_fit(const Problem& p, const Variables& v) const {
  std::vector<std::size_t> all;
  for (const LaunchTensor& t : launch_tensors(p)) all.push_back(t.bytes());
  for (const auto& [name, bytes] : description_.workspaces) all.push_back(bytes.count(v));
  const std::size_t most = emulated_->device.options().memory_bytes;
  std::size_t left = most;
  for (const std::size_t bytes : all) {
    if (bytes > left)
      return Rejection{
          Rejection::Kind::kMemory,
          fmt::format("{}: its tensors and workspaces do not fit into the {} bytes of the emulated "
                      "device",
                      info_.name, most)};
    left -= bytes;
  }
  return std::nullopt;
}

std::size_t PtxKernel::workspace_bytes(const Problem& p, const Execution&) const {
  return description_.workspace_bytes(variables_of(p));
}

std::size_t PtxKernel::host_bytes(const Problem& p, const Execution& e) const {
  std::size_t sum = workspace_bytes(p, e);
  for (const LaunchTensor& t : launch_tensors(p)) sum += t.bytes();
  return ptx::Device::kHostBytesPerByte * sum;
}

double PtxKernel::predicted_flop(const Problem& p, const Execution&) const {
  return count_work(p, expected_visible(p)).flop_visible;
}

std::unique_ptr<flashbench::Plan> PtxKernel::plan(const Problem& p, const Execution& e,
                                                  const Inputs& in) const {
  return std::make_unique<PtxPlan>(info_.name, description_, emulated_, p, e, in, forward_);
}

}  // namespace flashbench::guest
