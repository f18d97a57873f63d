#include "system/strict_json.h"

#include <fmt/format.h>

#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "system/quote.h"

namespace flashbench {
namespace {

using nlohmann::json;

/// Watches a parse and throws where a limit is passed: memory stays in proportion to what is kept.
class Watch {
 public:
  explicit Watch(JsonLimits limits) : limits_(limits) {}

  bool operator()(int /*depth*/, json::parse_event_t event, json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        count_item();
        open(event == json::parse_event_t::array_start);
        break;
      case json::parse_event_t::object_end:
      case json::parse_event_t::array_end:
        levels_.pop_back();
        break;
      case json::parse_event_t::key:
        require_new(parsed.get_ref<const std::string&>());
        break;
      case json::parse_event_t::value:
        count_item();
        break;
    }
    return true;
  }

 private:
  struct Level {
    bool is_array;
    std::size_t items = 0;
    std::set<std::string> keys;
  };

  void open(bool is_array) {
    if (std::cmp_equal(levels_.size(), limits_.depth))
      throw std::runtime_error(fmt::format("nests deeper than {} levels", limits_.depth));
    levels_.push_back({is_array, 0, {}});
  }
  void count_item() {
    if (++values_ > limits_.values)
      throw std::runtime_error(fmt::format("has more than {} values", limits_.values));
    if (!levels_.empty() && levels_.back().is_array && ++levels_.back().items > limits_.array_items)
      throw std::runtime_error(
          fmt::format("has an array of more than {} items", limits_.array_items));
  }
  void require_new(const std::string& key) {
    if (!levels_.back().keys.insert(key).second)
      throw std::runtime_error(fmt::format("names {} twice", quote(key)));
  }

  JsonLimits limits_;
  std::size_t values_ = 0;
  std::vector<Level> levels_;
};

}  // namespace

json parse_strict_json(std::string_view text, JsonLimits limits) {
  // nlohmann_json takes a NUL for the end of the text and ignores what follows.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos)
    throw std::runtime_error(fmt::format("has a NUL byte at byte {}", nul));
  try {
    Watch watch(limits);
    return json::parse(text.begin(), text.end(), std::ref(watch));
  } catch (const json::parse_error& e) {
    const bool utf8 = std::string_view(e.what()).find("UTF-8") != std::string_view::npos;
    throw std::runtime_error(
        fmt::format("is not valid {} at byte {}", utf8 ? "UTF-8" : "JSON", e.byte));
  } catch (const json::exception&) {  // the only other: a number like 1e999
    throw std::runtime_error("has a number that no double holds");
  }
}

}  // namespace flashbench
