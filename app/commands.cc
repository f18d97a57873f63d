#include "app/commands.h"

#include "app/bench/bench_command.h"
#include "app/check/check_command.h"
#include "app/compare/compare_command.h"
#include "app/info_command.h"
#include "app/single_command.h"

namespace flashbench::app {

const Commands& commands() {
  static const Commands all = {&forward_command(), &backward_command(), &bench_command(),
                               &check_command(),   &info_command(),     &compare_command()};
  return all;
}

}  // namespace flashbench::app
