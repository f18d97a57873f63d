#include "guest/guest.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "system/error.h"
#include "system/quote.h"

namespace flashbench::guest {
namespace {

constexpr std::size_t kLongestName = 64, kLongestText = 200;

bool is_word(const std::string& name) {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.+";
  return !name.empty() && name.size() <= kLongestName &&
         name.find_first_not_of(kLetters) == std::string::npos;
}

std::string one_line(const std::string& text) { return escape(text.substr(0, kLongestText)); }

}  // namespace

void vet_names(std::vector<KernelFacts>& kernels, const std::string& who) {
  std::set<std::string> names;
  for (KernelFacts& k : kernels) {
    if (!is_word(k.name))
      throw UsageError(fmt::format(
          "{}: a kernel's name is a word of up to {} letters, digits and _ - . +; got {}", who,
          kLongestName, quote(k.name)));
    if (!names.insert(k.name).second)
      throw UsageError(fmt::format("{} has two kernels of the name {}", who, k.name));
    k.description = one_line(k.description);
    k.build = one_line(k.build);
  }
}

}  // namespace flashbench::guest
