#include "kernel/backend.h"

#include <stdexcept>

namespace flashbench {

double Backend::queued_s(const Execution&, const std::function<void()>&) {
  throw std::logic_error(info().id.text + " queues nothing");
}

RouteTable Backend::routes(const std::string& kind) {
  throw std::logic_error(info().id.text + " knows no " + kind);
}

}  // namespace flashbench
