#pragma once

#include <memory>

#include "guest/plugin.h"

namespace flashbench::guest {

/// A plug-in in this process: what it prints goes to stderr, since stdout may be a report, and its
/// OpenMP teams have the threads of the case.
class InProcess final : public Guest {
 public:
  /// Throws what Plugin throws.
  InProcess(const std::string& text, PluginAbi abi, int threads);
  ~InProcess() override;

  const std::vector<KernelFacts>& kernels() const override { return plugin_->kernels(); }
  Answer ask(std::size_t kernel, const nlohmann::json& problem) override;
  Answer plan(std::size_t kernel, int id, const nlohmann::json& problem,
              const Operands& operands) override;
  Answer prepare(int id) override;
  Answer run(std::span<const int> ids, std::int64_t calls) override;
  void drop(int id) override;
  Answer give(int id, const Names& tensors) override { return plugin_->give(id, tensors); }
  Answer collect(int id) override { return plugin_->collect(id); }

 private:
  int threads_;
  std::unique_ptr<Plugin> plugin_;
};

}  // namespace flashbench::guest
