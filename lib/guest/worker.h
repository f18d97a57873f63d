#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "guest/greeting.h"
#include "guest/guest.h"
#include "guest/protocol.h"
#include "system/process.h"
#include "system/relay.h"

namespace flashbench::guest {

/// How workers are started, and how long they may take.
struct WorkerSettings {
  std::vector<std::string> argv;
  std::string shown;  ///< in messages: "--plugin ./mine.so"
  int threads = 1;
  std::string device = kOnProcessor;          ///< where its tensors are
  double patience_s = 120;                    ///< of any answer
  std::function<bool()> stop_requested = {};  ///< asked while an answer is waited for
};

/// A guest in a process of its own. Once it has crashed or hung, every method throws DeviceError
/// with what happened first; `alive()` is false.
class Worker final : public Guest {
 public:
  /// Throws UsageError for what the worker says that it cannot serve, and where it ends before it
  /// has said anything; AbsentError for what it says that this machine does not have, and
  /// UnavailableError where no process can be started now.
  explicit Worker(WorkerSettings settings);
  ~Worker() override;

  const std::vector<KernelFacts>& kernels() const override { return facts_; }
  Answer ask(std::size_t kernel, const nlohmann::json& problem) override;
  Answer plan(std::size_t kernel, int id, const nlohmann::json& problem,
              const Operands& operands) override;
  Answer prepare(int id) override;
  Answer run(std::span<const int> ids, std::int64_t calls) override;
  void drop(int id) override;
  Answer give(int id, const Names& tensors) override;
  Answer collect(int id) override;
  std::string tasks() const override;

  bool alive() const { return ended_.empty(); }
  bool hung() const { return hung_; }  ///< and is no more, therefore

 private:
  void start();
  void greet();
  Answer request(const nlohmann::json& message, const std::vector<int>& descriptors = {});
  /// The next packet as JSON. Throws DeviceError where none comes.
  nlohmann::json receive();
  /// The process is done with; `why` is what it did.
  [[noreturn]] void give_up(std::string why);
  std::string how_it_ended();

  WorkerSettings settings_;
  std::unique_ptr<Channel> channel_;
  std::unique_ptr<process::Relay> messages_;  ///< of the process, which it outlives
  std::unique_ptr<process::Process> process_;
  std::vector<KernelFacts> facts_;
  std::string ended_;  ///< why it is no more
  bool hung_ = false;
};

}  // namespace flashbench::guest
