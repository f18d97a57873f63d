#pragma once

#include <string>
#include <vector>

#include "core/problem.h"
#include "data/safetensors.h"

namespace flashbench::data {

inline const std::string kData = FLASHBENCH_TEST_DATA "/";
inline constexpr Shape kTiny{2, 4, 2, 5, 7, 8};  ///< of every shipped file

inline Problem bundle(const std::string& file, Pass pass = Pass::kBackward) {
  Problem p;
  p.pass = pass;
  p.files.bundle = file;
  return p;
}

inline Problem bshd_bundle() {
  Problem p = bundle(kData + "tiny_bshd.safetensors");
  p.files.layout = Layout::kBshd;
  p.files.q_name = "query";
  p.files.k_name = "key";
  p.files.v_name = "value";
  p.files.do_name = "grad";
  p.files.mask_name = "keep";
  return p;
}

inline Problem npy_files() {
  Problem p;
  p.pass = Pass::kBackward;
  p.files.q = kData + "tiny_q.npy";
  p.files.k = kData + "tiny_k.npy";
  p.files.v = kData + "tiny_v.npy";
  p.files.d_o = kData + "tiny_do.npy";
  p.d_o = GradSource::kFile;
  p.files.mask = kData + "tiny_mask.npy";
  p.padding = PaddingMask::kFile;
  return p;
}

/// A tensor whose bytes are all the same.
inline TensorToWrite filled_with(const std::string& name, Element element,
                                 std::vector<std::int64_t> shape, unsigned char byte) {
  std::size_t bytes = element_bytes(element);
  for (const std::int64_t size : shape) bytes *= static_cast<std::size_t>(size);
  return {name, element, std::move(shape),
          [=](const ByteSink& sink) { sink(std::vector<std::byte>(bytes, std::byte{byte})); }};
}
inline TensorToWrite zeros(const std::string& name, std::vector<std::int64_t> shape,
                           Element element = Dtype::kF32) {
  return filled_with(name, element, std::move(shape), 0);
}

}  // namespace flashbench::data
