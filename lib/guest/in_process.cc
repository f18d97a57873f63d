#include "guest/in_process.h"

#include <fcntl.h>
#include <omp.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "system/error.h"
#include "system/process.h"

namespace flashbench::guest {
namespace {

bool its_turn = false;

/// A plug-in that calls exit() would end the program as if all were well, without a report.
void tell_of_exit() {
  if (!its_turn) return;
  std::fputs("flashbench: the plug-in has called exit(); nothing after that has run\n", stderr);
  std::_Exit(static_cast<int>(ExitCode::kFailed));
}

/// Holds while code of the plug-in runs. Nobody else prints then.
class ItsTurn {
 public:
  explicit ItsTurn(int threads)
      : threads_before_(omp_get_max_threads()),
        stdout_(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0), "stdout") {
    static const int told = std::atexit(tell_of_exit);
    (void)told;
    std::fflush(stdout);
    ::dup2(STDERR_FILENO, STDOUT_FILENO);
    omp_set_num_threads(threads);
    its_turn = true;
  }
  ItsTurn(const ItsTurn&) = delete;
  ~ItsTurn() {
    its_turn = false;
    std::fflush(stdout);  // of the C library that the plug-in shares
    ::dup2(stdout_.get(), STDOUT_FILENO);
    omp_set_num_threads(threads_before_);
  }

 private:
  int threads_before_;
  process::Descriptor stdout_;
};

}  // namespace

InProcess::InProcess(const std::string& text, PluginAbi abi, int threads) : threads_(threads) {
  const ItsTurn turn(threads_);
  plugin_ = std::make_unique<Plugin>(text, abi);
}

InProcess::~InProcess() {
  const ItsTurn turn(threads_);
  plugin_.reset();
}

Answer InProcess::ask(std::size_t kernel, const nlohmann::json& problem) {
  const ItsTurn turn(threads_);
  return plugin_->ask(kernel, problem);
}

Answer InProcess::plan(std::size_t kernel, int id, const nlohmann::json& problem,
                       const Operands& operands) {
  const ItsTurn turn(threads_);
  return plugin_->plan(kernel, id, problem, operands);
}

Answer InProcess::prepare(int id) {
  const ItsTurn turn(threads_);
  return plugin_->prepare(id);
}

Answer InProcess::run(std::span<const int> ids, std::int64_t calls) {
  const ItsTurn turn(threads_);
  return plugin_->run(ids, calls);
}

void InProcess::drop(int id) {
  const ItsTurn turn(threads_);
  plugin_->drop(id);
}

}  // namespace flashbench::guest
