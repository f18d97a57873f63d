#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "ptx/machine/lazy_zeros.h"
#include "ptx/machine/options.h"

namespace flashbench::ptx {

/// What is known of an aligned 4-byte word of global memory. CTAs are numbered over all launches,
/// so that marks of earlier launches are recognised by their number.
struct GlobalWord {
  std::uint32_t writer = 0, writer_epoch = 0;
  std::uint32_t reader = 0;   ///< the last one
  bool many_readers = false;  ///< others of the reader's launch came before it
  std::uint8_t written_bytes = 0;
  bool atomic = false;  ///< the write was an atomic or another strong access
};

/// What an allocation holds, for those who read findings. Strides are of elements.
struct Elements {
  std::size_t bytes = 0;  ///< of one; 0: nobody has said
  std::vector<std::int64_t> shape = {}, strides = {};

  /// The indices of the element at a byte, "[0, 2, 17, 40]"; "" where none is known.
  std::string at(std::size_t offset) const;
};

struct Allocation {
  std::uint64_t base = 0;
  std::size_t size = 0;
  std::string name;
  Elements elements;
  LazyZeros<std::uint8_t> data, written;  ///< data holds where written, a flag per byte, is 1
  LazyZeros<GlobalWord> words;            ///< made when a kernel first touches it

  /// Gives bytes that nothing has written their value, 0xFF (a NaN in every float type), before
  /// they are read.
  void show_unwritten(std::size_t offset, std::size_t bytes);
  /// "byte 40 of 'O', element [0, 0, 0, 20]".
  std::string place(std::size_t offset) const;
};

/// Up to which epoch a CTA has seen what other CTAs wrote.
using CtaClock = std::unordered_map<std::uint32_t, std::uint32_t>;
void join(CtaClock& into, const CtaClock& other);

/// The device's memory: allocations 4 GiB and more apart.
class GlobalMemory {
 public:
  std::uint64_t alloc(std::size_t bytes, std::string name);
  /// What was freed is remembered, for those who go on using it.
  void free(std::uint64_t base);
  /// Of the allocation that begins there.
  void describe_as(std::uint64_t base, std::string name, Elements elements);
  /// The allocation that holds [address, address + bytes), or null.
  Allocation* find(std::uint64_t address, std::size_t bytes);
  const Allocation* find(std::uint64_t address, std::size_t bytes) const;
  /// "40 bytes past the end of 'O' (4096 bytes)", "a null pointer".
  std::string describe(std::uint64_t address) const;
  std::size_t allocated_bytes() const { return allocated_; }

  /// What release operations of this launch published, by the address that they wrote.
  std::unordered_map<std::uint64_t, CtaClock> published;

 private:
  using Allocations = std::map<std::uint64_t, std::unique_ptr<Allocation>>;

  /// Of those that begin at or before an address the last one, freed or not; null: there is none.
  const Allocation* last_before(std::uint64_t address) const;

  Allocations allocations_, freed_;  ///< freed: without their memory
  std::uint64_t next_ = kFirstAddress;
  std::size_t allocated_ = 0;
  Allocation* last_ = nullptr;
};

}  // namespace flashbench::ptx
