#include "app/info_routes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "app/terminal/streams.h"
#include "core/enumerators.h"
#include "report/layout.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::app {
namespace {

using nlohmann::ordered_json;

std::string range_text(std::int64_t first, std::int64_t last) {
  if (last == 0) return first == 1 ? "any" : fmt::format("{} and more", first);
  return fmt::format("{} to {}", first, last);
}

std::vector<std::string_view> names(const std::vector<Dtype>& dtypes) {
  std::vector<std::string_view> all;
  for (const Dtype dtype : dtypes) all.push_back(name(dtype));
  return all;
}

std::string kernels_text(const Route& r) {
  if (r.kernel_where_idle.empty()) return r.kernel;
  return fmt::format("{}; where mostly idle {}", r.kernel, r.kernel_where_idle);
}

/// The flags that ask for them.
std::vector<std::string> variants(Features features) {
  std::vector<std::string> all;
  for (const Feature f : kEnumerators<Feature>)
    if (features.has(f)) all.emplace_back(flag(f));
  return all;
}

}  // namespace

RouteTable find_routes(const Backends& backends, const std::string& kind) {
  std::vector<std::string> known;
  for (Backend* b : backends)
    for (const std::string& one : b->device_kinds()) {
      if (one == kind) return b->routes(kind);
      known.push_back(one);
    }
  throw UsageError(
      fmt::format("--as must be one of {}, got {}", fmt::join(known, ", "), quote(kind)));
}

std::string routes_text(const RouteTable& table) {
  using report::Grid;
  std::vector<Grid::Column> columns;
  for (const char* title : {"  type", "pass", "dtype", "rows a K/V head", "d", "kernel"})
    columns.push_back({title, Grid::Align::kLeft});
  std::vector<Grid::Row> rows;
  for (const Route& r : table.routes)
    rows.push_back(
        {{fmt::format("  {}", name(r.type)), std::string(name(r.pass)),
          fmt::format("{}", fmt::join(names(r.dtypes), ", ")),
          range_text(r.first_rows, r.last_rows), range_text(r.first_d, r.last_d), kernels_text(r)},
         ""});
  std::string text = fmt::format("Routes on {}\n{}", table.device,
                                 report::aligned_text(columns, rows, {table_width()}));
  if (std::any_of(table.routes.begin(), table.routes.end(),
                  [](const Route& r) { return !r.kernel_where_idle.empty(); }))
    text +=
        "  Mostly idle: with 512 keys or more, of few heads, whose tiles do not fill the device's\n"
        "  multiprocessors, or of groups with few queries each, at most 16, which do not fill the\n"
        "  tiles, however many heads: a tile has up to 128 queries, all of one head.\n";
  text +=
      "\nWhat they take, in the order in which they are tried; what one lacks goes to the next\n";
  for (const RouteTable::Taker& k : table.kernels)
    text += fmt::format("  {:<16}{}\n", k.kernel, fmt::join(variants(k.features), ", "));
  return text;
}

ordered_json routes_json(const RouteTable& table) {
  ordered_json routes = ordered_json::array(), kernels = ordered_json::array();
  for (const Route& r : table.routes) {
    routes.push_back(
        {{"type", name(r.type)},
         {"pass", name(r.pass)},
         {"dtypes", names(r.dtypes)},
         {"rows", {r.first_rows, r.last_rows == 0 ? ordered_json() : ordered_json(r.last_rows)}},
         {"d", {r.first_d, r.last_d}},
         {"kernel", r.kernel}});
    if (!r.kernel_where_idle.empty()) routes.back()["kernel_where_idle"] = r.kernel_where_idle;
  }
  for (const RouteTable::Taker& k : table.kernels)
    kernels.push_back({{"name", k.kernel}, {"takes", variants(k.features)}});
  return {{"device", table.device}, {"routes", routes}, {"kernels", kernels}};
}

}  // namespace flashbench::app
