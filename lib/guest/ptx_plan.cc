#include "guest/ptx_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "core/work.h"
#include "data/layout.h"
#include "guest/scaled_copy.h"
#include "system/error.h"

namespace flashbench::guest {
namespace {

/// Warp instructions of one launch: ten for each FLOP of the problem, if every lane does the same,
/// and what small problems have beside them. An endless loop ends there.
constexpr double kMostPerFlop = 10, kMostBeside = 1e8;

std::uint64_t most_warp_instructions(const Problem& p) {
  const double most = kMostBeside + kMostPerFlop * count_work(p, expected_visible(p)).flop_dense;
  return static_cast<std::uint64_t>(std::min(most, 1e18));
}

/// As findings say it.
ptx::Elements elements_of(const LaunchTensor& t, Layout layout) {
  const Dims& n = t.dims;
  ptx::Elements e{t.dtype ? size_bytes(*t.dtype) : 1,
                  {n.b, n.h, n.rows, n.d},
                  {n.h * n.rows * n.d, n.rows * n.d, n.d, 1}};
  if (layout == Layout::kBshd && t.name != "lse")
    e.strides = {n.h * n.rows * n.d, n.d, n.h * n.d, 1};
  return e;
}

}  // namespace

std::vector<LaunchTensor> launch_tensors(const Problem& p) {
  const Shape& s = p.shape;
  std::vector<LaunchTensor> all = {
      {"q", s.q_dims(), p.dtype},         {"k", s.k_dims(), p.kv_dtype()},
      {"v", s.v_dims(), p.kv_dtype()},    {"o", s.o_dims(), p.dtype},
      {"lse", s.lse_dims(), Dtype::kF32}, {"key_mask", {s.b, 1, 1, s.kv_len}, std::nullopt}};
  if (p.needs_gradients()) {
    all.push_back({"do", s.o_dims(), p.dtype});
    all.push_back({"dq", s.q_dims(), p.dtype});
    all.push_back({"dk", s.k_dims(), p.kv_dtype()});
    all.push_back({"dv", s.v_dims(), p.kv_dtype()});
  }
  return all;
}

PtxPlan::PtxPlan(std::string name, const LaunchDescription& description,
                 std::shared_ptr<EmulatedModules> emulated, const Problem& p, const Execution& e,
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
  const auto address_of = [this](const std::string& memory) {
    const Memory* m = find(memory);
    return m == nullptr ? ptx::Address{0} : m->address;
  };
  forward_ = launches(description_.forward, variables_, address_of);
  if (p.needs_gradients()) backward_ = launches(description_.backward, variables_, address_of);
}

void PtxPlan::allocate(const Problem& p, const Inputs& in) {
  const auto add = [&](const std::string& name, std::size_t bytes, std::optional<Dtype> dtype) {
    const std::size_t all = emulated_->device.options().memory_bytes;
    if (bytes > all - std::min(emulated_->device.allocated_bytes(), all))
      throw OutOfMemoryError(
          fmt::format("{}: the emulated device has no {} bytes for {}", name_, bytes, name));
    const ptx::Address address = emulated_->device.alloc(std::max<std::size_t>(bytes, 1), name);
    const auto give_back = [from = emulated_, address](void*) { from->device.free(address); };
    memory_.push_back({name, address, bytes, dtype, std::shared_ptr<void>(nullptr, give_back)});
    return address;
  };
  for (const LaunchTensor& t : launch_tensors(p)) {
    const ptx::Address address = add(t.name, t.bytes(), t.dtype);
    emulated_->device.describe(address, t.name, elements_of(t, description_.layout));
  }
  for (const auto& [name, bytes] : description_.workspaces)
    add(name, bytes.count(variables_), std::nullopt);
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

void PtxPlan::check_unchanged(std::string_view name, const Tensor& input) const {
  const Memory& memory = *find(name);
  std::vector<std::byte> now(memory.bytes);
  emulated_->device.copy_out(now, memory.address);
  std::size_t at = 0;
  data::write_tensor(input, description_.layout, [&](std::span<const std::byte> piece) {
    if (!std::equal(piece.begin(), piece.end(), now.begin() + static_cast<std::ptrdiff_t>(at)))
      wrote_to(name);
    at += piece.size();
  });
}

void PtxPlan::check_inputs(const Inputs& in) const {
  check_unchanged("q", in.q);
  check_unchanged("k", in.k);
  check_unchanged("v", in.v);
  if (problem_.needs_gradients()) check_unchanged("do", in.d_o);
  const Memory& mask = *find("key_mask");
  std::vector<std::uint8_t> now(mask.bytes);
  emulated_->device.copy_out(std::as_writable_bytes(std::span(now)), mask.address);
  const bool same =
      in.key_mask.empty()
          ? std::all_of(now.begin(), now.end(), [](std::uint8_t keep) { return keep == 1; })
          : std::equal(now.begin(), now.end(), in.key_mask.begin(), in.key_mask.end());
  if (!same) wrote_to(mask.name);
}

void PtxPlan::wrote_to(std::string_view input) const {
  throw DeviceError(fmt::format("{}: it wrote to {}, which is an input", name_, input));
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
    if (const Memory* m = find(l.zero))
      emulated_->device.fill(m->address, std::byte{0}, m->bytes);
    else if (l.copy)
      copy(*l.copy, l.factor);
    else if (l.zero.empty())
      launch(l);
  }
}

void PtxPlan::copy(const LaunchCopy& what, double factor) {
  const Memory *from = find(what.from), *to = find(what.to);
  if (from == nullptr || to == nullptr) return;  // a gradient, and the problem has none
  const Dtype at_from =
      from->dtype ? *from->dtype : what.dtype.value_or(to->dtype.value_or(Dtype::kF32));
  const Dtype at_to = to->dtype ? *to->dtype : what.dtype.value_or(at_from);
  const std::size_t count =
      from->dtype || !to->dtype ? from->bytes / size_bytes(at_from) : to->bytes / size_bytes(at_to);
  if (!(std::abs(factor) <= std::numeric_limits<float>::max()))
    throw DeviceError(fmt::format("{}: {} times {} is copied to {}, which f32 does not hold", name_,
                                  what.from, factor, what.to));
  try {
    scaled_copy(emulated_->device, {from->name, from->address, from->bytes, at_from},
                {to->name, to->address, to->bytes, at_to}, count, static_cast<float>(factor));
  } catch (const DeviceError& e) {
    throw DeviceError(fmt::format("{}: {}", name_, e.what()));
  }
}

void PtxPlan::launch(const Launch& what) {
  const std::vector<std::span<const std::byte>> arguments(what.arguments.begin(),
                                                          what.arguments.end());
  emulated_->device.set_seed(seed_++);
  emulated_->device.set_max_warp_instructions(most_warp_instructions(problem_));
  ptx::LaunchResult result;
  try {
    result = emulated_->device.launch(emulated_->modules.at(what.ptx), what.entry, what.grid,
                                      what.block, what.shared_bytes, arguments);
  } catch (const DeviceError& e) {
    throw DeviceError(fmt::format("{}: {}", name_, e.what()));
  }
  if (!result.findings.empty())
    throw DeviceError(fmt::format("{}: {}", name_, ptx::text(result.findings)));
  counted_.push_back({.phase = what.entry, .calls = 1, .counts = ptx::named(result.counters)});
}

void PtxPlan::collect(const flashbench::Operands& io) {
  check_inputs(*io.in);
  read("o", io.out->o);
  const bool given = problem_.pass == Pass::kBackward && forward_.empty();
  if (!given && !names(description_.forward, "lse")) {
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
