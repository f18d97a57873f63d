#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/enumerators.h"

namespace flashbench {

enum class VerifyMode { kAuto, kFull, kSample, kNone };
enum class VerifyLevel { kNone, kSample, kFull };

constexpr std::string_view name(VerifyMode m) {
  switch (m) {
    case VerifyMode::kAuto:
      return "auto";
    case VerifyMode::kFull:
      return "full";
    case VerifyMode::kSample:
      return "sample";
    case VerifyMode::kNone:
      return "none";
  }
  no_such_enumerator();
}
constexpr std::string_view name(VerifyLevel l) {
  switch (l) {
    case VerifyLevel::kNone:
      return "none";
    case VerifyLevel::kSample:
      return "sample";
    case VerifyLevel::kFull:
      return "full";
  }
  no_such_enumerator();
}

/// What was judged: an element, or the root mean square of several.
enum class Scope { kElement, kRow, kChannel, kHead };

constexpr std::string_view name(Scope s) {
  switch (s) {
    case Scope::kElement:
      return "element";
    case Scope::kRow:
      return "row";
    case Scope::kChannel:
      return "channel";
    case Scope::kHead:
      return "head";
  }
  no_such_enumerator();
}

/// How far one output is from the oracle, in units of the expected rounding noise of its dtype.
struct TensorVerdict {
  std::string tensor;           ///< "o", "lse", "dq", "dk", "dv", "dsinks", "dbias", or an identity
  double error_over_noise = 0;  ///< the worst; NaN where the output is NaN
  double limit = 2;
  bool ok = false;
  /// Root mean square over all elements that were judged, each over its expected deviation: about 1
  /// for a kernel that loses nothing. Absent for an identity, and where all must be exact.
  std::optional<double> rms = {};
  Scope scope = Scope::kElement;        ///< where it is the worst
  std::array<std::int64_t, 4> index{};  ///< [b, h, row, d] of the worst element there
  double got = 0, want = 0;             ///< there
  /// LSE that is log2 instead of ln in every row that was looked at.
  bool in_base_2 = false;
};

struct Verdict {
  VerifyLevel level = VerifyLevel::kNone;
  std::vector<TensorVerdict> tensors;  ///< one per checked output

  bool checked() const { return level != VerifyLevel::kNone; }
  bool ok() const {
    for (const TensorVerdict& t : tensors)
      if (!t.ok) return false;
    return true;
  }
};

}  // namespace flashbench
