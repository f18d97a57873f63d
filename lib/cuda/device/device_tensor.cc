#include "cuda/device/device_tensor.h"

#include <cstring>

namespace flashbench::cuda {
namespace {

constexpr std::size_t kRowAlignment = 16;

std::size_t row_bytes(Dtype dtype, std::int64_t d) {
  const std::size_t packed = static_cast<std::size_t>(d) * size_bytes(dtype);
  return (packed + kRowAlignment - 1) / kRowAlignment * kRowAlignment;
}

std::size_t row_count(const Dims& dims) { return static_cast<std::size_t>(dims.all_rows()); }

}  // namespace

DeviceTensor::DeviceTensor(Device& device, Dtype dtype, Dims dims, const std::string& name)
    : device_(&device), dtype_(dtype), dims_(dims), buffer_(device, bytes(dtype, dims), name) {}

std::size_t DeviceTensor::bytes(Dtype dtype, const Dims& dims) {
  return row_count(dims) * row_bytes(dtype, dims.d);
}

std::int64_t DeviceTensor::row_elements(Dtype dtype, std::int64_t d) {
  return static_cast<std::int64_t>(row_bytes(dtype, d) / size_bytes(dtype));
}

void DeviceTensor::write(const Tensor& from, std::span<const std::uint8_t> key_mask) {
  if (from.bytes() == buffer_.bytes() && key_mask.empty()) {
    device_->write(buffer_.address(), from.data(), from.bytes());
    return;
  }
  const std::size_t stride = row_bytes(dtype_, dims_.d);
  const std::size_t packed = static_cast<std::size_t>(dims_.d) * size_bytes(dtype_);
  Buffer padded(buffer_.bytes());
  std::memset(padded.as<void>(), 0, padded.bytes());
  const auto rows = static_cast<std::size_t>(dims_.rows), heads = static_cast<std::size_t>(dims_.h);
  for (std::size_t row = 0; row < row_count(dims_); ++row) {
    if (!key_mask.empty() && key_mask[row / rows / heads * rows + row % rows] == 0) continue;
    std::memcpy(padded.as<std::byte>() + row * stride,
                static_cast<const std::byte*>(from.data()) + row * packed, packed);
  }
  device_->write(buffer_.address(), padded.as<void>(), padded.bytes());
}

void DeviceTensor::read(Tensor& to) const {
  if (to.bytes() == buffer_.bytes()) {
    device_->read(to.data(), buffer_.address(), to.bytes());
    return;
  }
  const std::size_t stride = row_bytes(dtype_, dims_.d);
  const std::size_t packed = static_cast<std::size_t>(dims_.d) * size_bytes(dtype_);
  Buffer padded(buffer_.bytes());
  device_->read(padded.as<void>(), buffer_.address(), padded.bytes());
  for (std::size_t row = 0; row < row_count(dims_); ++row)
    std::memcpy(static_cast<std::byte*>(to.data()) + row * packed,
                padded.as<std::byte>() + row * stride, packed);
}

void DeviceTensor::poison() { device_->poison(buffer_.address(), buffer_.bytes()); }

void DeviceTensor::zero() { device_->zero(buffer_.address(), buffer_.bytes()); }

Rows DeviceTensor::rows() const {
  const std::int64_t stride = row_elements(dtype_, dims_.d);
  const bool is_ragged = dims_.first_row != nullptr;
  const std::int64_t rows = is_ragged ? dims_.rows_before(dims_.b) : dims_.rows;
  return {buffer_.as<void>(), dims_.h * rows * stride, rows * stride, stride};
}

}  // namespace flashbench::cuda
