#include "guest/call.h"

#include <fmt/format.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "guest/protocol.h"

namespace flashbench::guest {
namespace {

struct FeatureBit {
  std::string_view word;
  std::uint32_t bit;
};
constexpr FeatureBit kFeatureBits[] = {{"causal", FBK_CAUSAL},
                                       {"key_mask", FBK_KEY_MASK},
                                       {"window", FBK_WINDOW},
                                       {"softcap", FBK_SOFTCAP},
                                       {"alibi", FBK_ALIBI},
                                       {"bias", FBK_BIAS},
                                       {"bias_gradient", FBK_BIAS_GRADIENT},
                                       {"sinks", FBK_SINKS},
                                       {"value_dim", FBK_VALUE_DIM},
                                       {"kv_dtype", FBK_KV_DTYPE},
                                       {"values_in_keys", FBK_VALUES_IN_KEYS},
                                       {"ragged", FBK_RAGGED},
                                       {"pages", FBK_PAGES},
                                       {"deterministic", FBK_DETERMINISTIC},
                                       {"gpu", FBK_GPU}};

std::uint32_t bit_of(const std::string& word) {
  for (const FeatureBit& f : kFeatureBits)
    if (f.word == word) return f.bit;
  throw std::runtime_error(fmt::format("an unknown feature '{}'", word));
}

std::int32_t pass_bits(const std::string& pass) {
  if (pass == "forward") return FBK_FORWARD;
  if (pass == "backward") return FBK_BACKWARD;
  if (pass == "both") return FBK_FORWARD | FBK_BACKWARD;
  throw std::runtime_error(fmt::format("an unknown pass '{}'", pass));
}

fbk_dtype dtype_of(const std::string& name) {
  struct Row {
    std::string_view name;
    std::uint8_t code, bits;
  };
  constexpr Row kRows[] = {{"f32", FBK_FLOAT, 32},   {"f16", FBK_FLOAT, 16},
                           {"bf16", FBK_BFLOAT, 16}, {"e4m3", FBK_E4M3FN, 8},
                           {"e5m2", FBK_E5M2, 8},    {"u8", FBK_UINT, 8},
                           {"i32", FBK_INT, 32}};
  for (const Row& r : kRows)
    if (r.name == name) return {r.code, r.bits, 1};
  throw std::runtime_error(fmt::format("an unknown dtype '{}'", name));
}

fbk_device device_of(const nlohmann::json& problem) {
  const std::optional<int> gpu = gpu_of(problem.at("device"));
  return gpu ? fbk_device{FBK_CUDA, *gpu} : fbk_device{FBK_CPU, 0};
}

}  // namespace

std::string feature_words(std::uint32_t bits) {
  std::string words;
  for (const FeatureBit& f : kFeatureBits)
    if ((bits & f.bit) != 0) words += fmt::format("{}{}", words.empty() ? "" : ", ", f.word);
  return words;
}

fbk_problem problem_of(const nlohmann::json& m) {
  fbk_problem p{};
  p.struct_size = sizeof p;
  for (const nlohmann::json& word : m.at("features")) p.features |= bit_of(word);
  p.pass = pass_bits(m.at("pass"));
  p.threads = m.at("threads");
  p.device = device_of(m);
  p.dtype = dtype_of(m.at("dtype"));
  p.kv_dtype = dtype_of(m.at("kv_dtype"));
  p.bias_dtype = dtype_of(m.at("bias_dtype"));
  p.b = m.at("b");
  p.h = m.at("h");
  p.h_kv = m.at("h_kv");
  p.q_len = m.at("q_len");
  p.kv_len = m.at("kv_len");
  p.d = m.at("d");
  p.d_v = m.at("d_v");
  p.window_left = m.at("window_left");
  p.window_right = m.at("window_right");
  p.page_size = m.at("page_size");
  p.bias_b = m.at("bias_b");
  p.bias_h = m.at("bias_h");
  p.scale = m.at("scale");
  p.softcap = m.at("softcap");
  return p;
}

Tensors::Tensors(const Operands& operands)
    : Tensors(operands, {FBK_CPU, 0}, operands.in->data(), operands.out->data()) {}

Tensors::Tensors(const Operands& operands, fbk_device device, std::byte* in, std::byte* out)
    : device_(device) {
  add(*operands.in_place, in);
  add(*operands.out_place, out);
}

void Tensors::add(const Placement& placement, std::byte* base) {
  for (const Placed& placed : placement.tensors) {
    Named& named = tensors_.emplace_back(Named{placed, {}});
    named.tensor = {base + placed.offset,
                    device_,
                    static_cast<std::int32_t>(placed.shape.size()),
                    dtype_of(placed.dtype),
                    named.placed.shape.data(),
                    named.placed.strides.data(),
                    0};
  }
}

fbk_tensor* Tensors::find(std::string_view name) {
  for (Named& t : tensors_)
    if (t.placed.name == name) return &t.tensor;
  return nullptr;
}

fbk_call Tensors::call() {
  fbk_call c{};
  c.struct_size = sizeof c;
  c.q = find("q");
  c.k = find("k");
  c.v = find("v");
  c.d_o = find("do");
  c.key_mask = find("key_mask");
  c.sinks = find("sinks");
  c.alibi_slopes = find("alibi_slopes");
  c.bias = find("bias");
  c.k_scale = find("k_scale");
  c.v_scale = find("v_scale");
  c.cu_seqlens_q = find("cu_seqlens_q");
  c.cu_seqlens_k = find("cu_seqlens_k");
  c.block_table = find("block_table");
  c.o = find("o");
  c.lse = find("lse");
  c.dq = find("dq");
  c.dk = find("dk");
  c.dv = find("dv");
  c.dsinks = find("dsinks");
  c.dbias = find("dbias");
  return c;
}

}  // namespace flashbench::guest
