#pragma once

#include "system/error.h"

namespace flashbench::ptx {

/// PTX text that cannot be executed: a syntax error, or an instruction that the emulator does not
/// know. The message names the module and the line.
class PtxError : public DeviceError {
  using DeviceError::DeviceError;
};

}  // namespace flashbench::ptx
