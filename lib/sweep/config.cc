#include "sweep/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sweep/field.h"
#include "sweep/number.h"
#include "sweep/text.h"
#include "system/error.h"
#include "system/quote.h"
#include "system/strict_json.h"
#include "system/text_file.h"

namespace flashbench::sweep {
namespace {

using nlohmann::json;

bool is_comment(std::string_view key) { return key == "name" || key == "source"; }

std::string at(const std::string& path, std::string_view key) {
  return fmt::format("{}: {}", path, quote(key));
}

json parse_config(std::string_view text, const std::string& path) {
  try {
    return parse_strict_json(text, {.array_items = kMaxCases + 1});
  } catch (const std::runtime_error& e) {
    throw UsageError(fmt::format("{}: {}", path, e.what()));
  }
}

/// One scalar as the flag would have it on the command line. `absent`: what it calls null, or "".
std::string scalar_text(const json& value, const std::string& where, std::string_view absent) {
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return value.dump();
  if (value.is_null() && !absent.empty()) return std::string(absent);
  throw UsageError(
      fmt::format("{} must be a number, a string, true, false{} or a list of these, "
                  "got {}",
                  where, absent.empty() ? "" : ", null", value.type_name()));
}

Setting setting(const json& value, const std::string& key, const std::string& where) {
  const Field* field = find_field(fields(), key);
  const std::string_view absent = field == nullptr ? "" : field->recorded.absent;
  Setting s{{}, where};
  if (!value.is_array()) {
    s.values.push_back(scalar_text(value, where, absent));
    return s;
  }
  if (value.empty()) throw UsageError(fmt::format("{} is an empty list", where));
  if (value.size() > kMaxCases)
    throw UsageError(fmt::format("{} has more than {} values", where, kMaxCases));
  for (const json& element : value) s.values.push_back(scalar_text(element, where, absent));
  return s;
}

void vet_name(const std::string& key, const std::string& path,
              const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), key) != known.end()) return;
  if (key == "zip" || key == "config")
    throw UsageError(fmt::format("{} cannot stand here", at(path, key)));
  throw UsageError(
      fmt::format("{} is not the name of a flag{}", at(path, key), did_you_mean(key, known)));
}

int layers_of(const json& value, const std::string& where) {
  constexpr int kMost = 100'000;
  if (value.is_number_integer() && value >= 1 && value <= kMost) return value.get<int>();
  throw UsageError(fmt::format("{} must be between 1 and {}, got {}", where, kMost, value.dump()));
}

/// `name`: of the part that the settings are of.
Settings settings_of(const json& object, const std::string& path,
                     const std::vector<std::string>& known, std::string& name,
                     std::optional<int>& layers) {
  Settings out;
  for (const auto& [key, value] : object.items()) {
    if (is_comment(key)) {
      if (!value.is_string()) throw UsageError(fmt::format("{} must be a string", at(path, key)));
      if (key == "name") name = value.get<std::string>();
      continue;
    }
    if (key == "layers") {
      layers = layers_of(value, at(path, key));
      continue;
    }
    vet_name(key, path, known);
    out.emplace(key, setting(value, key, at(path, key)));
  }
  return out;
}

/// {"h": [32, 12], "d": [128, 64]}: the first of each, then the second of each.
std::vector<Settings> zip_of_lists(const json& lists, const std::string& path,
                                   const std::vector<std::string>& known) {
  std::vector<Settings> points;
  std::string first_key;
  for (const auto& [key, value] : lists.items()) {
    vet_name(key, path, known);
    const std::string where = at(path, "zip") + " " + quote(key);
    if (!value.is_array()) throw UsageError(fmt::format("{} must be a list", where));
    const Setting all = setting(value, key, where);
    if (first_key.empty()) {
      first_key = key;
      points.resize(all.values.size());
    }
    if (all.values.size() != points.size())
      throw UsageError(fmt::format("{} has {} values, but {} has {}; lists in zip vary together",
                                   where, all.values.size(), quote(first_key), points.size()));
    for (std::size_t i = 0; i < points.size(); ++i)
      points[i].emplace(key, Setting{{all.values[i]}, where});
  }
  return points;
}

std::vector<Settings> zip_points(const json& zip, const std::string& path,
                                 const std::vector<std::string>& known, std::vector<Part>& parts) {
  const std::string where = at(path, "zip");
  std::vector<Settings> points;
  if (zip.is_object()) {
    points = zip_of_lists(zip, path, known);
  } else if (zip.is_array()) {
    if (zip.size() > kMaxCases)
      throw UsageError(fmt::format("{} has more than {} points", where, kMaxCases));
    for (const json& point : zip) {
      if (!point.is_object())
        throw UsageError(
            fmt::format("{} must hold objects such as {{\"h\": 32, \"d\": 128}}, "
                        "got {}",
                        where, point.type_name()));
      Part& part = parts.emplace_back();
      points.push_back(settings_of(point, path, known, part.name, part.layers));
    }
  } else {
    throw UsageError(fmt::format("{} must be a list of objects or an object of lists, got {}",
                                 where, zip.type_name()));
  }
  if (points.empty()) throw UsageError(fmt::format("{} is empty", where));
  return points;
}

}  // namespace

SweepPlan parse_config(std::string_view text, const std::string& path,
                       const std::vector<std::string>& known) {
  json root = parse_config(text, path);
  if (!root.is_object())
    throw UsageError(
        fmt::format("{}: must be one JSON object such as {{\"q_len\": \"1k,2k\"}}, "
                    "got {}",
                    path, root.type_name()));
  SweepPlan plan;
  if (root.contains("zip")) {
    plan.zip = zip_points(root["zip"], path, known, plan.zip_parts);
    root.erase("zip");
  }
  plan.base = settings_of(root, path, known, plan.part.model, plan.part.layers);
  for (Part& part : plan.zip_parts) {
    part.model = plan.part.model;
    if (part.layers && plan.part.layers)
      throw UsageError(fmt::format("{} is given inside and outside of 'zip'", at(path, "layers")));
    if (!part.layers) part.layers = plan.part.layers;
  }
  for (const Settings& point : plan.zip)
    for (const auto& [key, value] : point)
      if (plan.base.contains(key))
        throw UsageError(fmt::format("{} is given inside and outside of 'zip'", at(path, key)));
  return plan;
}

SweepPlan read_config(const std::string& path, const std::vector<std::string>& known) {
  return parse_config(read_text({path, "--config", "config", "a JSON file"}), path, known);
}

void keep_parts(SweepPlan& plan, const std::string& text, const std::string& path) {
  SweepPlan kept = {plan.base, {}, plan.part, {}};
  std::vector<std::string> names;
  for (std::size_t n = 0; n < plan.zip_parts.size(); ++n) {
    if (!plan.zip_parts[n].name.empty()) names.push_back(quote(plan.zip_parts[n].name));
    if (plan.zip_parts[n].name.find(text) == std::string::npos) continue;
    kept.zip.push_back(plan.zip[n]);
    kept.zip_parts.push_back(plan.zip_parts[n]);
  }
  if (kept.zip.empty())
    throw UsageError(fmt::format("--part {}: {} has no such point{}", quote(text), path,
                                 names.empty()
                                     ? ", and none with a name"
                                     : fmt::format("; it has {}", fmt::join(names, ", "))));
  plan = std::move(kept);
}

SweepPlan merge(const Settings& flags, SweepPlan config) {
  for (Settings& point : config.zip)
    for (const auto& [name, setting] : flags) point.erase(name);
  for (const auto& [name, setting] : flags) config.base.insert_or_assign(name, setting);
  return config;
}

}  // namespace flashbench::sweep
