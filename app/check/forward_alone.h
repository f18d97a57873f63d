#pragma once

#include <string>
#include <vector>

#include "app/case/routing.h"
#include "app/check/check_suite.h"

namespace flashbench::app {

/// Where a guest refuses both passes together and computes the forward alone, its cases become
/// forward cases, in groups of their own: most of the suite asks for both, as flags without --pass
/// do, and a kernel without gradients would be called right after a hundredth of it. `named` and
/// `groups`: one of each other.
void ask_guests_for_forward_alone(std::vector<NamedGroup>& named, std::vector<RoutedGroup>& groups,
                                  const std::vector<std::string>& given, const Backends& backends);

}  // namespace flashbench::app
