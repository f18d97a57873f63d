#pragma once

#include "app/case/routing.h"
#include "app/command_line/request.h"
#include "core/tensor.h"
#include "oracle/verify.h"
#include "report/record.h"

namespace flashbench::app {

/// Launches a case that runs and has what it wrote judged; an emulator in several orders, one after
/// the other, until something fails. With CheckRequest::repeat, launches it as often (an emulator
/// in as many orders) and compares the bits. What throws is the result's failure, but for
/// UsageError.
void verify_case(const CheckRequest& request, const RoutedCase& c, const Inputs& in,
                 const oracle::Reference& reference, report::Result& result);

}  // namespace flashbench::app
