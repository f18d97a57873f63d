#include "sweep/case.h"

#include <fmt/format.h>

namespace flashbench::sweep {

std::string Case::flags() const {
  const Case defaults;
  std::string text = fmt::format("{} --type {}", problem.flags(), name(type));
  if (backend) text += fmt::format(" --backend {}", name(*backend));
  if (isa) text += fmt::format(" --isa {}", name(*isa));
  if (!kernel.empty()) text += " --kernel " + kernel;
  if (threads != 0) text += fmt::format(" --threads {}", threads);
  if (device) text += " --device " + device_text(*device);
  if (deterministic) text += " --deterministic";
  if (q_block != defaults.q_block) text += fmt::format(" --q_block {}", q_block);
  if (kv_block != defaults.kv_block) text += fmt::format(" --kv_block {}", kv_block);
  if (cache != defaults.cache) text += fmt::format(" --cache {}", name(cache));
  return text;
}

}  // namespace flashbench::sweep
