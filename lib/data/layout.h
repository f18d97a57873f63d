#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "core/problem.h"
#include "core/tensor.h"
#include "data/safetensors.h"
#include "data/tensor_file.h"

namespace flashbench::data {

/// Reads a stored tensor into a [b, h, row, d] one of its dtype and count. A file in Layout::kBshd
/// holds [b, row, h, d], one of a ragged batch [row, h, d] in any layout. Works in pieces of a few
/// MiB: memory for a second tensor is never needed.
void read_tensor(const TensorFile& file, const StoredTensor& stored, Layout layout, Tensor& to);

/// Fills a span with what is stored from a byte on.
using ByteSource = std::function<void(std::uint64_t offset, std::span<std::byte> to)>;

/// The same from bytes that lie as in such a file.
void read_tensor(const ByteSource& stored, Layout layout, Tensor& to);

/// Gives a tensor's bytes to the sink in the order of `layout`.
void write_tensor(const Tensor& from, Layout layout, const ByteSink& sink);

}  // namespace flashbench::data
