#include "guest/ptx_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <span>

#include "core/work.h"
#include "data/layout.h"
#include "system/error.h"

namespace flashbench::guest {
namespace {

std::uint32_t extent(const std::vector<Expression>& of, std::size_t axis, const Variables& v) {
  if (axis >= of.size()) return 1;
  const std::int64_t n = of[axis].integer(v);
  // A grid of 0 is the device's to refuse; what does not fit into its numbers is refused with it.
  const std::int64_t most = std::numeric_limits<std::uint32_t>::max();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(n, 0, most));
}

template <typename T>
std::vector<std::byte> bytes_of(T value) {
  std::vector<std::byte> bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

}  // namespace

std::vector<std::pair<std::string, std::size_t>> launch_tensors(const Problem& p) {
  const Shape& s = p.shape;
  const auto bytes = [&](const Dims& dims, Dtype dtype) {
    return static_cast<std::size_t>(dims.count()) * size_bytes(dtype);
  };
  const std::size_t q = bytes(s.q_dims(), p.dtype), o = bytes(s.o_dims(), p.dtype);
  const std::size_t k = bytes(s.k_dims(), p.kv_dtype()), v = bytes(s.v_dims(), p.kv_dtype());
  std::vector<std::pair<std::string, std::size_t>> all = {
      {"q", q},
      {"k", k},
      {"v", v},
      {"o", o},
      {"lse", bytes(s.lse_dims(), Dtype::kF32)},
      {"key_mask", static_cast<std::size_t>(s.b * s.kv_len)}};
  if (p.needs_gradients())
    for (const auto& gradient : {std::pair{"do", o}, {"dq", q}, {"dk", k}, {"dv", v}})
      all.emplace_back(gradient.first, gradient.second);
  return all;
}

PtxPlan::PtxPlan(std::string name, const LaunchDescription& description,
                 std::shared_ptr<EmulatedModule> emulated, const Problem& p, const Execution& e,
                 const Inputs& in, PtxKernel::Forward forward)
    : name_(std::move(name)),
      description_(description),
      emulated_(std::move(emulated)),
      problem_(p),
      execution_(e),
      inputs_(&in),
      forward_given_(std::move(forward)),
      variables_(variables_of(p)),
      seed_(e.order_seed << 32) {
  allocate(p, in);
  forward_ = launches(description_.forward);
  if (p.needs_gradients()) backward_ = launches(description_.backward);
}

void PtxPlan::allocate(const Problem& p, const Inputs& in) {
  const auto add = [&](const std::string& name, std::size_t bytes) {
    const ptx::Address address = emulated_->device.alloc(std::max<std::size_t>(bytes, 1), name);
    const auto give_back = [from = emulated_, address](void*) { from->device.free(address); };
    memory_.push_back({name, address, bytes, std::shared_ptr<void>(nullptr, give_back)});
  };
  for (const auto& [name, bytes] : launch_tensors(p)) add(name, bytes);
  for (const auto& [name, bytes] : description_.workspaces)
    add(name, LaunchDescription::bytes_of(bytes, variables_));
  const Memory& mask = *find("key_mask");
  if (in.key_mask.empty())
    emulated_->device.fill(mask.address, std::byte{1}, mask.bytes);
  else
    emulated_->device.copy_in(mask.address, std::as_bytes(std::span(in.key_mask)));
}

const PtxPlan::Memory* PtxPlan::find(std::string_view name) const {
  const auto at =
      std::find_if(memory_.begin(), memory_.end(), [&](const Memory& m) { return m.name == name; });
  return at == memory_.end() ? nullptr : &*at;
}

std::vector<std::byte> PtxPlan::argument(const LaunchArgument& a) const {
  if (!a.number) {
    const Memory* memory = find(a.memory);
    return bytes_of(memory == nullptr ? ptx::Address{0} : memory->address);
  }
  if (a.type == ptx::Type::kF32) return bytes_of(static_cast<float>(a.number->real(variables_)));
  if (a.type == ptx::Type::kF64) return bytes_of(a.number->real(variables_));
  const std::int64_t n = a.number->integer(variables_);
  if (ptx::size_of(a.type) == 8) return bytes_of(n);
  const bool fits = a.type == ptx::Type::kS32 ? n == static_cast<std::int32_t>(n)
                                              : n == static_cast<std::uint32_t>(n);
  if (!fits) throw UsageError(fmt::format("{}: {} does not fit into 32 bits", a.where, n));
  return bytes_of(static_cast<std::uint32_t>(n));
}

std::vector<PtxPlan::Launch> PtxPlan::launches(const std::vector<LaunchStep>& steps) const {
  std::vector<Launch> all;
  for (const LaunchStep& s : steps) {
    Launch& l = all.emplace_back();
    l.zero = s.zero;
    l.entry = s.entry;
    l.grid = {extent(s.grid, 0, variables_), extent(s.grid, 1, variables_),
              extent(s.grid, 2, variables_)};
    l.block = {extent(s.block, 0, variables_), extent(s.block, 1, variables_),
               extent(s.block, 2, variables_)};
    if (s.shared_bytes) l.shared_bytes = LaunchDescription::bytes_of(*s.shared_bytes, variables_);
    for (const LaunchArgument& a : s.arguments) l.arguments.push_back(argument(a));
  }
  return all;
}

void PtxPlan::write(std::string_view name, const Tensor& from) {
  ptx::Address to = find(name)->address;
  data::write_tensor(from, description_.layout, [&](std::span<const std::byte> piece) {
    emulated_->device.copy_in(to, piece);
    to += piece.size();
  });
}

void PtxPlan::read(std::string_view name, Tensor& to) const {
  const ptx::Address from = find(name)->address;
  data::read_tensor(
      [&](std::uint64_t offset, std::span<std::byte> piece) {
        emulated_->device.copy_out(piece, from + offset);
      },
      description_.layout, to);
}

void PtxPlan::prepare(const flashbench::Operands& io) {
  write("q", io.in->q);
  write("k", io.in->k);
  write("v", io.in->v);
  for (const char* output : {"o", "lse", "dq", "dk", "dv"})
    if (const Memory* m = find(output)) emulated_->device.poison(m->address, m->bytes);
  if (problem_.pass == Pass::kBackward) {
    if (forward_.empty()) {
      forward_given_(problem_, execution_, io);
      write("o", io.out->o);
      const Memory& lse = *find("lse");
      emulated_->device.copy_in(lse.address,
                                {static_cast<const std::byte*>(io.out->lse.data()), lse.bytes});
    }
    run(forward_);
  }
  if (problem_.needs_gradients()) write("do", io.in->d_o);
}

void PtxPlan::launch(const flashbench::Operands&) {
  counted_.clear();
  if (problem_.pass != Pass::kBackward) run(forward_);
  run(backward_);
}

void PtxPlan::run(const std::vector<Launch>& launches) {
  for (const Launch& l : launches) {
    if (!l.zero.empty()) {
      const Memory* m = find(l.zero);
      if (m != nullptr) emulated_->device.fill(m->address, std::byte{0}, m->bytes);
      continue;
    }
    const std::vector<std::span<const std::byte>> arguments(l.arguments.begin(), l.arguments.end());
    emulated_->device.set_seed(seed_++);
    ptx::LaunchResult result;
    try {
      result = emulated_->device.launch(emulated_->module, l.entry, l.grid, l.block, l.shared_bytes,
                                        arguments);
    } catch (const DeviceError& e) {
      throw DeviceError(fmt::format("{}: {}", name_, e.what()));
    }
    if (!result.findings.empty())
      throw DeviceError(fmt::format("{}: {}", name_, ptx::text(result.findings)));
    counted_.push_back({.phase = l.entry, .calls = 1, .counts = ptx::named(result.counters)});
  }
}

void PtxPlan::collect(const flashbench::Operands& io) {
  read("o", io.out->o);
  const bool given = problem_.pass == Pass::kBackward && forward_.empty();
  if (!given && !description_.names("lse")) {
    io.out->lse = {};
  } else {
    const Memory& lse = *find("lse");
    emulated_->device.copy_out({static_cast<std::byte*>(io.out->lse.data()), lse.bytes},
                               lse.address);
  }
  if (!problem_.needs_gradients()) return;
  read("dq", io.out->dq);
  read("dk", io.out->dk);
  read("dv", io.out->dv);
}

double PtxPlan::flop_executed() const {
  return count_work(problem_, count_visible(problem_, inputs_->key_mask)).flop_visible;
}

std::vector<PhaseProfile::Row> PtxPlan::profile(const flashbench::Operands& io) {
  launch(io);
  return counted_;
}

}  // namespace flashbench::guest
