#include "system/energy_meter.h"

#include <fmt/format.h>

#include <fstream>
#include <utility>

namespace flashbench {
namespace {

namespace fs = std::filesystem;

std::optional<double> read_number(const fs::path& path) {
  std::ifstream file(path);
  double value = 0;
  if (!(file >> value)) return std::nullopt;
  return value;
}

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

EnergyMeter::EnergyMeter(fs::path root) {
  const fs::path folder = root / "sys/class/powercap";
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    // Packages only, and once: cores and uncore are parts of them, the whole platform counts more,
    // and intel-rapl-mmio:N shows the same package again.
    if (!entry.path().filename().string().starts_with("intel-rapl:") ||
        !first_line(entry.path() / "name").starts_with("package"))
      continue;
    Domain domain{entry.path() / "energy_uj",
                  read_number(entry.path() / "max_energy_range_uj").value_or(0),
                  {}};
    if (read_number(domain.counter))
      domains_.push_back(std::move(domain));
    else
      missing_ = fmt::format("{} cannot be read; ask for read permission", domain.counter.string());
  }
  if (!missing_.empty()) domains_.clear();  // some of the packages are no total
  if (domains_.empty() && missing_.empty())
    missing_ = fmt::format("no RAPL package under {}", folder.string());
}

std::optional<double> EnergyMeter::read_j() {
  if (domains_.empty()) return std::nullopt;
  for (Domain& d : domains_) {
    const std::optional<double> now = read_number(d.counter);
    if (!now) return std::nullopt;
    if (d.last_uj) total_uj_ += *now - *d.last_uj + (*now < *d.last_uj ? d.range_uj : 0);
    d.last_uj = now;
  }
  return total_uj_ * 1e-6;
}

}  // namespace flashbench
