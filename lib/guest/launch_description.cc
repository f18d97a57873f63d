#include "guest/launch_description.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/enumerators.h"
#include "system/error.h"
#include "system/quote.h"
#include "system/strict_json.h"

namespace flashbench::guest {
namespace {

using Json = nlohmann::json;
using Names = std::vector<std::string>;

const Names kSizes = {"b", "h", "h_kv", "q_len", "kv_len", "d", "d_v", "causal"};
const Names kSizesAndScale = {"b", "h", "h_kv", "q_len", "kv_len", "d", "d_v", "causal", "scale"};
const Names kTensors = {"q", "k", "v", "o", "lse", "do", "dq", "dk", "dv", "key_mask"};

constexpr const char* kExpectedDtype = "expected f32, bf16 or f16";

/// A value, and where it stands in the file.
class Node {
 public:
  Node(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

  const std::string& where() const { return where_; }
  const Json& json() const { return json_; }
  [[noreturn]] void fail(const std::string& why) const {
    throw UsageError(fmt::format("{}: {}", where_, why));
  }

  void require_object(const Names& known) const {
    if (!json_.is_object()) fail("expected an object");
    for (const auto& [key, value] : json_.items()) {
      if (key == "cluster") fail("clusters of blocks are not emulated");
      if (std::find(known.begin(), known.end(), key) == known.end())
        fail(fmt::format("unknown member {}; it may have {}", quote(key), fmt::join(known, ", ")));
    }
  }
  bool has(const char* key) const { return json_.contains(key); }
  Node at(const std::string& key) const {
    if (!json_.contains(key)) fail(fmt::format("'{}' is missing", key));
    return {json_.at(key), fmt::format("{}: {}", where_, key)};
  }
  std::vector<Node> items() const {
    if (!json_.is_array()) fail("expected a list");
    std::vector<Node> all;
    for (std::size_t i = 0; i < json_.size(); ++i)
      all.emplace_back(json_.at(i), fmt::format("{}[{}]", where_, i));
    return all;
  }
  std::string text() const {
    if (!json_.is_string()) fail("expected a string");
    return json_.get<std::string>();
  }
  std::string filled_text() const {
    if (text().empty()) fail("expected a string, and it is empty");
    return text();
  }
  bool boolean() const {
    if (!json_.is_boolean()) fail("expected true or false");
    return json_.get<bool>();
  }
  /// A number, or a formula in a string.
  Expression formula(const Names& names = kSizes) const {
    if (!json_.is_string() && !json_.is_number()) fail("expected a number or a formula");
    return {json_.is_string() ? json_.get<std::string>() : json_.dump(), names, where_};
  }

 private:
  const Json& json_;
  std::string where_;
};

bool contains(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Names memories(const LaunchDescription& d) {
  Names all = kTensors;
  for (const auto& [name, bytes] : d.workspaces) all.push_back(name);
  return all;
}

std::string memory(const Node& node, const LaunchDescription& d) {
  const Names known = memories(d);
  const std::string name = node.text();
  if (!contains(known, name))
    node.fail(
        fmt::format("unknown argument {}; it may be {}, or a number such as {{\"i32\": "
                    "\"q_len\"}}",
                    quote(name), fmt::join(known, ", ")));
  return name;
}

LaunchArgument argument(const Node& node, const LaunchDescription& d) {
  if (node.json().is_string()) return {.where = node.where(), .memory = memory(node, d)};
  const Names types = {"i32", "u32", "i64", "u64", "f32", "f64"};
  if (!node.json().is_object() || node.json().size() != 1)
    node.fail("expected the name of a tensor, or a number such as {\"i32\": \"q_len\"}");
  node.require_object(types);
  const std::string word = node.json().begin().key();
  const ptx::Type type = ptx::parse_type(word[0] == 'i' ? "s" + word.substr(1) : word);
  return {.where = node.where(),
          .type = type,
          .number = node.at(word).formula(word[0] == 'f' ? kSizesAndScale : kSizes)};
}

std::vector<Expression> extents(const Node& node) {
  std::vector<Expression> all;
  if (!node.json().is_array()) return {node.formula()};
  for (const Node& item : node.items()) all.push_back(item.formula());
  if (all.empty() || all.size() > 3) node.fail("expected one to three numbers: x, y, z");
  return all;
}

/// An end of a copy.
std::string numbers(const Node& node, const LaunchDescription& d) {
  const std::string name = memory(node, d);
  if (name == "key_mask") node.fail("a key_mask has no numbers to copy");
  return name;
}

LaunchCopy copy(const Node& node, const LaunchDescription& d) {
  node.require_object({"copy", "to", "times", "dtype"});
  LaunchCopy c{.from = numbers(node.at("copy"), d), .to = numbers(node.at("to"), d)};
  if (node.has("times")) c.times = node.at("times").formula(kSizesAndScale);
  if (node.has("dtype")) {
    c.dtype = from_name<Dtype>(node.at("dtype").text());
    if (!c.dtype || is_only_stored(*c.dtype)) node.at("dtype").fail(kExpectedDtype);
  }
  if (contains(kTensors, c.from) && contains(kTensors, c.to) && c.dtype)
    node.fail("'dtype' is of a workspace, and both ends are tensors");
  if (!contains(kTensors, c.from) && !contains(kTensors, c.to) && !c.dtype)
    node.fail("'dtype' is missing, and both ends are workspaces");
  return c;
}

LaunchStep step(const Node& node, const LaunchDescription& d) {
  LaunchStep s{.where = node.where()};
  if (node.json().is_object() && node.has("copy")) {
    s.copy = copy(node, d);
    return s;
  }
  if (node.json().is_object() && node.has("zero")) {
    node.require_object({"zero"});
    s.zero = memory(node.at("zero"), d);
    return s;
  }
  node.require_object({"entry", "ptx", "grid", "block", "shared_bytes", "arguments"});
  s.entry = node.at("entry").filled_text();
  if (node.has("ptx")) s.ptx = node.at("ptx").filled_text();
  s.grid = extents(node.at("grid"));
  s.block = extents(node.at("block"));
  if (node.has("shared_bytes")) s.shared_bytes = node.at("shared_bytes").formula();
  for (const Node& item : node.at("arguments").items()) s.arguments.push_back(argument(item, d));
  return s;
}

std::vector<LaunchStep> steps(const Node& node, const LaunchDescription& d) {
  if (!node.json().is_array()) return {step(node, d)};
  std::vector<LaunchStep> all;
  for (const Node& item : node.items()) all.push_back(step(item, d));
  if (all.empty()) node.fail("it launches nothing");
  return all;
}

/// Those of a forward, which knows nothing of gradients.
std::vector<LaunchStep> forward_steps(const Node& node, const LaunchDescription& d) {
  std::vector<LaunchStep> all = steps(node, d);
  for (const char* gradient : {"do", "dq", "dk", "dv"})
    if (names(all, gradient)) node.fail(fmt::format("a forward has no '{}'", gradient));
  return all;
}

Condition condition(const Node& node) {
  const std::string text = node.text();
  for (const char* comparison : {"==", "!=", "<=", ">=", "<", ">"}) {
    const std::size_t at = text.find(comparison);
    if (at == std::string::npos) continue;
    return {
        text,
        comparison,
        {Expression(text.substr(0, at), kSizes, node.where()),
         Expression(text.substr(at + std::string_view(comparison).size()), kSizes, node.where())}};
  }
  node.fail(fmt::format("{} compares nothing; expected such as \"d == 64\"", quote(text)));
}

void read_causal(const Node& node, LaunchDescription& d) {
  if (node.json() == "either" || (node.json().is_boolean() && node.boolean()))
    d.features.add(Feature::kCausal);
  else if (!node.json().is_boolean())
    node.fail("expected true (nothing else), false or \"either\"");
  d.causal_alone = node.json().is_boolean() && node.boolean();
}

/// Of letters, digits and _, so that it can stand in any message.
bool is_word(const std::string& name) {
  constexpr std::size_t kLongest = 64;
  return !name.empty() && name.size() <= kLongest &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return c == '_' || (c < 0x80 && std::isalnum(c) != 0);
         });
}

void read_workspaces(const Node& node, LaunchDescription& d) {
  if (!node.json().is_object()) node.fail("expected an object of names and bytes");
  for (const auto& [name, bytes] : node.json().items()) {
    if (!is_word(name))
      node.fail(fmt::format("{} is no name: up to 64 letters, digits and _", quote(name)));
    if (contains(kTensors, name)) node.fail(fmt::format("'{}' is the name of a tensor", name));
    d.workspaces.emplace_back(name, node.at(name).formula());
  }
}

LaunchDescription description(const Node& file) {
  file.require_object({"name", "description", "dtypes", "causal", "value_dim", "layout", "requires",
                       "workspace", "forward", "backward"});
  LaunchDescription d;
  if (file.has("name")) d.name = file.at("name").filled_text();
  if (file.has("description")) d.description = file.at("description").text();
  for (const Node& item : file.at("dtypes").items()) {
    const auto dtype = from_name<Dtype>(item.text());
    if (!dtype || is_only_stored(*dtype)) item.fail(kExpectedDtype);
    d.dtypes.add(*dtype);
  }
  if (file.has("causal")) read_causal(file.at("causal"), d);
  if (file.has("value_dim") && file.at("value_dim").boolean()) d.features.add(Feature::kValueDim);
  if (file.has("layout")) {
    const auto layout = from_name<Layout>(file.at("layout").text());
    if (!layout) file.at("layout").fail("expected bhsd or bshd");
    d.layout = *layout;
  }
  if (file.has("requires"))
    for (const Node& item : file.at("requires").items()) d.conditions.push_back(condition(item));
  if (file.has("workspace")) read_workspaces(file.at("workspace"), d);
  if (file.has("forward")) d.forward = forward_steps(file.at("forward"), d);
  if (file.has("backward")) d.backward = steps(file.at("backward"), d);
  if (d.forward.empty() && d.backward.empty()) file.fail("'forward' or 'backward' is missing");
  if (!d.backward.empty()) d.features.add(Feature::kGradients);
  const auto masks = [](const std::vector<LaunchStep>& pass) {
    return pass.empty() || names(pass, "key_mask");
  };
  if (masks(d.forward) && masks(d.backward)) d.features.add(Feature::kKeyMask);
  return d;
}

}  // namespace

bool Condition::holds(const Variables& variables) const {
  const std::int64_t x = sides[0].integer(variables), y = sides[1].integer(variables);
  if (comparison == "==") return x == y;
  if (comparison == "!=") return x != y;
  if (comparison == "<=") return x <= y;
  if (comparison == ">=") return x >= y;
  return comparison == "<" ? x < y : x > y;
}

std::size_t LaunchDescription::workspace_bytes(const Variables& variables) const {
  std::size_t sum = 0;
  for (const auto& [workspace, bytes] : workspaces) sum += bytes.count(variables);
  return sum;
}

bool names(const std::vector<LaunchStep>& steps, std::string_view memory) {
  return std::any_of(steps.begin(), steps.end(), [&](const LaunchStep& s) {
    return s.zero == memory || (s.copy && (s.copy->from == memory || s.copy->to == memory)) ||
           std::any_of(s.arguments.begin(), s.arguments.end(),
                       [&](const LaunchArgument& a) { return a.memory == memory; });
  });
}

LaunchDescription read_launch_description(std::string_view json, const std::string& where) {
  Json parsed;
  try {
    parsed = parse_strict_json(json);
  } catch (const std::runtime_error& e) {
    throw UsageError(fmt::format("{}: {}", where, e.what()));
  }
  return description({parsed, where});
}

Variables variables_of(const Problem& p) {
  const auto number = [](std::int64_t n) { return static_cast<double>(n); };
  const Shape& s = p.shape;
  return {{"b", number(s.b)},           {"h", number(s.h)},
          {"h_kv", number(s.h_kv)},     {"q_len", number(s.q_len)},
          {"kv_len", number(s.kv_len)}, {"d", number(s.d)},
          {"d_v", number(s.d_v())},     {"causal", p.causal ? 1.0 : 0.0},
          {"scale", p.softmax_scale()}};
}

}  // namespace flashbench::guest
