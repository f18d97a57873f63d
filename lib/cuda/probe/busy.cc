#include "cuda/probe/busy.h"

#include "cuda/contract/probe_argument.h"

namespace flashbench::cuda {

void keep_busy(Device& device) {
  ProbeArgument argument{};
  argument.repeats = 8;
  Launch launch;
  launch.entry = "simt_busy";
  launch.phase = "busy";
  launch.grid_x = 1;
  launch.threads = 1;
  device.launch(launch, argument);
}

}  // namespace flashbench::cuda
