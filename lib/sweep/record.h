#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>

namespace flashbench::sweep {

/// What a report says of one field; std::monostate is null.
using Value =
    std::variant<std::monostate, bool, int, std::int64_t, std::uint64_t, double, std::string>;

/// "true", "4096", "0.5"; "" for null.
std::string text_of(const Value& value);

/// Which part of a model a case is, as a config says.
struct Part {
  std::string model;          ///< what the config calls itself
  std::string name;           ///< "local layers, prefill"
  std::optional<int> layers;  ///< that are computed so

  bool empty() const { return model.empty() && name.empty() && !layers; }
};

/// What was computed, under the names of the flags. Fields that no arithmetic needs have no member:
/// they are carried by name.
struct Workload {
  std::int64_t b = 1, h = 1, h_kv = 1, q_len = 1, kv_len = 1, d = 1;
  std::optional<std::int64_t> own_d_v = {};  ///< absent: as d
  std::string dtype;
  bool causal = false;
  std::string mask;                 ///< "none", "random", "file"
  std::optional<double> mask_keep;  ///< with a random mask only
  double scale = 1;                 ///< the factor itself, 1/sqrt(d) when not asked for
  std::uint64_t seed = 0;
  std::string input;  ///< "random", or the files; "; do=random" and the like for a gradient
  std::map<std::string, Value, std::less<>> others = {};  ///< every other field of the workload

  std::int64_t d_v() const { return own_d_v.value_or(d); }
};

/// A case as a report names it: what was computed, and how.
struct CaseRecord {
  Workload workload;
  std::string pass, type, backend;
  std::optional<std::string> kernel;          ///< that ran; absent when none was found
  std::optional<std::string> kernel_request;  ///< --kernel
  std::optional<std::string> plugin, worker;  ///< the guest, of these types
  std::optional<std::string> isa;             ///< absent on a GPU
  std::optional<int> threads;
  std::optional<std::string> device;  ///< absent on the CPU
  std::string cache = "warm";
  bool deterministic = false;
};

}  // namespace flashbench::sweep
