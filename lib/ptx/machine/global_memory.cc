#include "ptx/machine/global_memory.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "system/error.h"

namespace flashbench::ptx {

std::string Elements::at(std::size_t offset) const {
  if (bytes == 0 || shape.empty()) return "";
  const auto element = static_cast<std::int64_t>(offset / bytes);
  std::vector<std::int64_t> indices;
  std::int64_t reached = 0;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (strides[i] <= 0 || shape[i] <= 0) return "";
    indices.push_back(element / strides[i] % shape[i]);
    reached += indices.back() * strides[i];
  }
  return reached == element ? fmt::format("[{}]", fmt::join(indices, ", ")) : "";
}

std::string Allocation::place(std::size_t offset) const {
  const std::string element = elements.at(offset);
  return fmt::format("byte {} of '{}'{}{}", offset, name, element.empty() ? "" : ", element ",
                     element);
}

void Allocation::show_unwritten(std::size_t offset, std::size_t bytes) {
  for (std::size_t i = offset; i < offset + bytes; ++i)
    if (written[i] == 0) data[i] = 0xFF;
}

void join(CtaClock& into, const CtaClock& other) {
  for (const auto& [cta, epoch] : other) into[cta] = std::max(into[cta], epoch);
}

std::uint64_t GlobalMemory::alloc(std::size_t bytes, std::string name) {
  constexpr std::uint64_t kGap = std::uint64_t{1} << 32;
  auto a = std::make_unique<Allocation>();
  a->base = next_;
  a->size = bytes;
  a->name = std::move(name);
  a->data = LazyZeros<std::uint8_t>(bytes);
  a->written = LazyZeros<std::uint8_t>(bytes);
  next_ += (bytes / kGap + 2) * kGap;
  allocated_ += bytes;
  const std::uint64_t base = a->base;
  allocations_[base] = std::move(a);
  return base;
}

void GlobalMemory::free(std::uint64_t base) {
  const auto it = allocations_.find(base);
  if (it == allocations_.end()) {
    throw DeviceError(fmt::format("free of {}: no allocation begins there", describe(base)));
  }
  Allocation& a = *it->second;
  allocated_ -= a.size;
  if (last_ == &a) last_ = nullptr;
  a.data = {};
  a.written = {};
  a.words = {};
  freed_.insert(allocations_.extract(it));
  constexpr std::size_t kMostRemembered = 10'000;
  if (freed_.size() > kMostRemembered) freed_.erase(freed_.begin());
}

void GlobalMemory::describe_as(std::uint64_t base, std::string name, Elements elements) {
  const auto it = allocations_.find(base);
  if (it == allocations_.end())
    throw DeviceError(fmt::format("{}: no allocation begins at {:#x}", name, base));
  it->second->name = std::move(name);
  it->second->elements = std::move(elements);
}

Allocation* GlobalMemory::find(std::uint64_t address, std::size_t bytes) {
  const auto holds = [&](const Allocation& a) {
    return address - a.base <= a.size && bytes <= a.size - (address - a.base);
  };
  if (last_ != nullptr && address >= last_->base && holds(*last_)) return last_;
  auto it = allocations_.upper_bound(address);
  if (it == allocations_.begin()) return nullptr;
  --it;
  if (!holds(*it->second)) return nullptr;
  return last_ = it->second.get();
}

const Allocation* GlobalMemory::find(std::uint64_t address, std::size_t bytes) const {
  return const_cast<GlobalMemory*>(this)->find(address, bytes);  // changes only the cache
}

const Allocation* GlobalMemory::last_before(std::uint64_t address) const {
  const Allocation* last = nullptr;
  for (const Allocations* all : {&allocations_, &freed_}) {
    const auto after = all->upper_bound(address);
    if (after == all->begin()) continue;
    const Allocation* a = std::prev(after)->second.get();
    if (last == nullptr || a->base > last->base) last = a;
  }
  return last;
}

std::string GlobalMemory::describe(std::uint64_t address) const {
  constexpr std::uint64_t kNullPage = 4096, kNear = std::uint64_t{1} << 31;
  if (address == 0) return "a null pointer";
  if (address < kNullPage) return fmt::format("a null pointer and {} bytes", address);
  if (const Allocation* a = last_before(address)) {
    const std::uint64_t offset = address - a->base;
    const char* const freed = allocations_.contains(a->base) ? "" : ", which has been freed";
    if (offset < a->size) return fmt::format("{} ({} bytes){}", a->place(offset), a->size, freed);
    if (offset < a->size + kNear)
      return fmt::format("{} bytes past the end of '{}' ({} bytes){}", offset - a->size, a->name,
                         a->size, freed);
  }
  const auto after = allocations_.upper_bound(address);
  if (after != allocations_.end() && after->first - address < kNear) {
    const Allocation& a = *after->second;
    return fmt::format("{} bytes before '{}' ({} bytes)", a.base - address, a.name, a.size);
  }
  return fmt::format("{:#x}, near no allocation", address);
}

}  // namespace flashbench::ptx
