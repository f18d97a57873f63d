#include "guest/scaled_copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

#include "core/tensor.h"
#include "system/error.h"

namespace flashbench::guest {
namespace {

/// Numbers that pass through the host's memory at a time.
constexpr std::size_t kPiece = std::size_t{1} << 16;

Tensor piece_of(Dtype dtype, std::size_t count) {
  return {dtype, Dims{1, 1, 1, static_cast<std::int64_t>(count)}};
}

}  // namespace

void scaled_copy(ptx::Device& device, const DeviceNumbers& from, const DeviceNumbers& to,
                 std::size_t count, float factor) {
  for (const DeviceNumbers* n : {&from, &to})
    if (count > n->bytes / size_bytes(n->dtype))
      throw DeviceError(fmt::format("{} has {} bytes, too few for {} numbers of {}", n->name,
                                    n->bytes, count, name(n->dtype)));
  if (const std::size_t unwritten = device.unwritten(from.address, count * size_bytes(from.dtype));
      unwritten > 0)
    throw DeviceError(fmt::format("it copies {} to {}, and nothing has written {} bytes of it",
                                  from.name, to.name, unwritten));
  for (std::size_t first = 0; first < count; first += kPiece) {
    const std::size_t n = std::min(kPiece, count - first);
    Tensor read = piece_of(from.dtype, n), written = piece_of(to.dtype, n);
    device.copy_out({read.as<std::byte>(), read.bytes()},
                    from.address + first * size_bytes(from.dtype));
    for (std::int64_t i = 0; i < read.count(); ++i) written.set(i, read.at(i) * factor);
    device.copy_in(to.address + first * size_bytes(to.dtype),
                   {written.as<std::byte>(), written.bytes()});
  }
}

}  // namespace flashbench::guest
