#include "system/strict_json.h"

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "system/quote.h"

namespace flashbench {
namespace {

using nlohmann::json;

/// Builds the value from the parser's events and throws where a limit is passed: memory stays in
/// proportion to what is kept. (json::parse with a callback does that too, but looks through all
/// members of an object again whenever one of them ends: minutes for a header of 100 000 tensors.)
class Builder {
 public:
  explicit Builder(JsonLimits limits) : limits_(limits) {}

  json take() { return std::move(root_); }

  // The events of json::sax_parse; false would stop it.
  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(json::number_integer_t value) { return add(value); }
  bool number_unsigned(json::number_unsigned_t value) { return add(value); }
  bool number_float(json::number_float_t value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(json::binary_t&) { throw std::logic_error("JSON text has no binary values"); }
  bool start_object(std::size_t) { return open(json::value_t::object); }
  bool start_array(std::size_t) { return open(json::value_t::array); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    auto& members = open_.back()->get_ref<json::object_t&>();
    const auto [member, is_new] = members.try_emplace(std::move(name), nullptr);
    if (!is_new) throw std::runtime_error(fmt::format("names {} twice", quote(member->first)));
    member_ = &member->second;
    return true;
  }

  bool parse_error(std::size_t byte, const std::string&, const json::exception& e) {
    if (dynamic_cast<const json::parse_error*>(&e) == nullptr)  // the only other: 1e999
      throw std::runtime_error("has a number that no double holds");
    const bool utf8 = std::string_view(e.what()).find("UTF-8") != std::string_view::npos;
    throw std::runtime_error(
        fmt::format("is not valid {} at byte {}", utf8 ? "UTF-8" : "JSON", byte));
  }

 private:
  bool add(json value) {
    place(std::move(value));
    return true;
  }
  /// What a container becomes is known at its end; until then its address is on the stack. Nothing
  /// is added to the one that holds it meanwhile, so it stays where it is.
  bool open(json::value_t kind) {
    json& container = place(json(kind));
    if (std::cmp_equal(open_.size(), limits_.depth))
      throw std::runtime_error(fmt::format("nests deeper than {} levels", limits_.depth));
    open_.push_back(&container);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  json& place(json value) {
    if (++values_ > limits_.values)
      throw std::runtime_error(fmt::format("has more than {} values", limits_.values));
    if (open_.empty()) return root_ = std::move(value);
    json& container = *open_.back();
    if (container.is_object()) return *member_ = std::move(value);
    if (container.size() == limits_.array_items)
      throw std::runtime_error(
          fmt::format("has an array of more than {} items", limits_.array_items));
    container.push_back(std::move(value));
    return container.back();
  }

  JsonLimits limits_;
  std::size_t values_ = 0;
  json root_;
  std::vector<json*> open_;  ///< objects and arrays, from the outermost one in
  json* member_ = nullptr;   ///< of the object open_.back(): what its last key names
};

}  // namespace

json parse_strict_json(std::string_view text, JsonLimits limits) {
  // nlohmann_json takes a NUL for the end of the text and ignores what follows.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos)
    throw std::runtime_error(fmt::format("has a NUL byte at byte {}", nul));
  Builder builder(limits);
  json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

}  // namespace flashbench
