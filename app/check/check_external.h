#pragma once

#include <string>
#include <vector>

#include "app/command_line/request.h"
#include "core/roundings.h"
#include "core/tensor.h"
#include "kernel/backend.h"

namespace flashbench::app {

/// What another library computed, and the case that it is judged as.
struct External {
  sweep::Case judged;
  Outputs out;
  ExtraRoundings rounds;              ///< what its maker rounds besides, as --rounds says
  std::vector<std::string> warnings;  ///< what the files hold that nothing reads
  bool ones_for_lack_of_d_o = false;  ///< nobody said what dO is
};

/// Reads --external, with the gradients that it holds. Throws UsageError.
External read_external(const CheckRequest& request, const Backends& backends);

/// "judged as: both, f32, b2 h4/2 33x50 d24, causal, scale 0.2041"; where that is not `right`, a
/// second line: most of what is wrong was computed with another mask, scale or dO. A causal mask
/// that no flag names shows: the first row of O is then that of V.
std::string judged_as(const External& external, const Inputs& in, bool right);

}  // namespace flashbench::app
