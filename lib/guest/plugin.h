#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "guest/flashbench_kernel.h"
#include "guest/guest.h"
#include "guest/tvm_ffi.h"
#include "kernel/execution.h"

namespace flashbench::guest {

/// A shared library with kernels, loaded into this process.
class Plugin final : public Guest {
 public:
  /// `text`: the file, or what TvmFfiFunction takes. Throws UsageError: no such file, no library of
  /// this machine, not what this ABI looks for in it, no kernel for this version, or one whose
  /// facts are broken.
  Plugin(const std::string& text, PluginAbi abi);
  ~Plugin() override;

  const std::vector<KernelFacts>& kernels() const override { return facts_; }
  Answer ask(std::size_t kernel, const nlohmann::json& problem) override;
  Answer plan(std::size_t kernel, int id, const nlohmann::json& problem,
              const Operands& operands) override;
  Answer prepare(int id) override;
  Answer run(std::span<const int> ids, std::int64_t calls) override;
  void drop(int id) override;
  Answer give(int id, const Names& tensors) override;
  Answer collect(int id) override;

 private:
  struct Plan;

  Answer make_plan(std::size_t kernel, const nlohmann::json& problem, std::unique_ptr<Plan>& plan);

  void load_kernels(const std::string& path);

  std::unique_ptr<TvmFfiFunction> function_;  ///< of its ABI
  fbk_host host_{};
  std::vector<fbk_kernel> kernels_;  ///< as far as this program knows the struct
  std::vector<KernelFacts> facts_;
  std::map<int, std::unique_ptr<Plan>> plans_;
};

}  // namespace flashbench::guest
