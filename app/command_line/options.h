#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "app/command_line/request.h"
#include "measure/budget.h"
#include "sweep/number.h"
#include "system/error.h"

namespace flashbench::app {

/// The settings that are no workload: one value each, never inside of `zip`.
class Options {
 public:
  explicit Options(const CommandLine& line) : base_(line.plan.base) {
    for (const sweep::Settings& point : line.plan.zip)
      for (const auto& [name, setting] : point)
        if (!is_workload(name))
          throw UsageError(fmt::format("{} cannot vary inside 'zip'", setting.where));
  }

  std::string text(std::string_view name) const {
    const sweep::Setting* setting = find(name);
    if (setting == nullptr) return "";
    if (setting->values[0].empty())
      throw UsageError(fmt::format("{} needs a value, got an empty one", setting->where));
    return setting->values[0];
  }
  /// A name that an output goes to; every name of stdout is "-".
  std::string output(std::string_view name) const {
    const std::string path = text(name);
    return report::names_stdout(path) ? "-" : path;
  }
  bool on(std::string_view name) const {
    const sweep::Setting* setting = find(name);
    return setting != nullptr && sweep::parse_bool(setting->values[0], setting->where);
  }
  double duration(std::string_view name, double otherwise) const {
    const sweep::Setting* setting = find(name);
    return setting == nullptr ? otherwise
                              : measure::parse_duration_s(setting->values[0], setting->where);
  }
  const sweep::Setting* find(std::string_view name) const {
    const auto it = base_.find(name);
    if (it == base_.end()) return nullptr;
    if (it->second.values.size() != 1)
      throw UsageError(fmt::format("{} takes one value", it->second.where));
    return &it->second;
  }

  static bool is_workload(std::string_view name) {
    return sweep::find_field(sweep::fields(), name) != nullptr;
  }

 private:
  const sweep::Settings& base_;
};

}  // namespace flashbench::app
