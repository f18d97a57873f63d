#include "guest/greeting.h"

#include <fmt/format.h>

#include <stdexcept>

#include "guest/protocol.h"
#include "system/quote.h"

namespace flashbench::guest {
namespace {

/// What a library could not do names it already.
std::string with_name(const std::string& why, const std::string& shown) {
  return why.starts_with(shown) ? why : fmt::format("{}: {}", shown, why);
}

std::string reason_of(const nlohmann::json& hello, const char* member, const std::string& shown) {
  return with_name(escape(hello[member].get<std::string>()), shown);
}

}  // namespace

std::vector<KernelFacts> kernels_of_greeting(const nlohmann::json& hello,
                                             const std::string& shown) {
  std::vector<KernelFacts> facts;
  try {
    for (const char* reason : {"error", "why"})  // the second of what crashed as it was loaded
      if (hello.contains(reason)) throw UsageError(reason_of(hello, reason, shown));
    if (hello.contains("unavailable")) throw AbsentError(reason_of(hello, "unavailable", shown));
    if (hello.at("protocol") != kProtocol)
      throw UsageError(fmt::format("{} speaks version {} of the workers' protocol; this program {}",
                                   shown, hello["protocol"].dump(), kProtocol));
    for (const nlohmann::json& k : hello.at("kernels")) facts.push_back(kernel_of(k));
  } catch (const UsageError& e) {
    throw UsageError(with_name(e.what(), shown));
  } catch (const AbsentError&) {
    throw;
  } catch (const std::exception& e) {
    throw UsageError(fmt::format("{}: its greeting is none: {}", shown, e.what()));
  }
  vet_names(facts, shown);
  if (facts.empty()) throw UsageError(fmt::format("{} has no kernel", shown));
  return facts;
}

}  // namespace flashbench::guest
