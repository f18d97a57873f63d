#include "guest/plugin.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <utility>

#include "cuda/probe/busy.h"
#include "guest/call.h"
#include "guest/device_copies.h"
#include "guest/faults.h"
#include "guest/gpu.h"
#include "guest/library.h"
#include "guest/marks.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::guest {
namespace {

constexpr std::size_t kWhyBytes = 512;
constexpr std::uint32_t kMostKernels = 1000;

void log_line(void*, const char* line) { std::fprintf(stderr, "%s\n", escape(line).c_str()); }

void run_parallel(void*, std::int64_t n, void (*f)(void* context, std::int64_t i), void* context) {
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t i = 0; i < n; ++i) f(context, i);
}

Status status_of(int code) {
  switch (code) {
    case FBK_OK:
      return Status::kOk;
    case FBK_UNSUPPORTED:
      return Status::kUnsupported;
    case FBK_NO_MEMORY:
      return Status::kNoMemory;
    case FBK_DEVICE_ERROR:
      return Status::kDeviceError;
    case FBK_FAILED:
      return Status::kFailed;
  }
  return Status::kFailed;  // another library's number
}

/// The first line of a reason.
std::string line_of(const std::array<char, kWhyBytes>& why, std::string_view otherwise) {
  const auto end =
      std::find_if(why.begin(), why.end(), [](char c) { return c == '\0' || c == '\n'; });
  return end == why.begin() ? std::string(otherwise) : std::string(why.begin(), end);
}

/// Calls a function of the plug-in; what it throws is its failure.
template <typename F>
Answer answer_to(F&& call) {
  std::array<char, kWhyBytes> why{};
  int code = FBK_OK;
  Answer answer;
  try {
    code = static_cast<int>(call(why.data(), why.size() - 1));
    answer.status = status_of(code);
  } catch (const std::exception& e) {
    return {.status = Status::kFailed, .why = fmt::format("it threw: {}", e.what())};
  } catch (...) {
    return {.status = Status::kFailed, .why = "it threw what is no std::exception"};
  }
  if (answer.status != Status::kOk)
    answer.why = escape(line_of(why, fmt::format("it returns {} and gives no reason", code)));
  return answer;
}

/// The same on the emulated device, whose driver knows more than a guest may tell.
template <typename F>
Answer explained_answer_to(F&& call) {
  emulated_driver_failure();  // what failed earlier
  Answer answer = answer_to(call);
  return explained(std::move(answer), emulated_driver_failure());
}

/// Throws UsageError for a bit that this program does not know.
ExtraRoundings roundings_of(std::uint32_t bits, const std::string& who) {
  ExtraRoundings rounds;
  if ((bits & FBK_ROUNDS_QUERY_HEADS) != 0) rounds.add(ExtraRounding::kQueryHeads);
  if ((bits & ~std::uint32_t{FBK_ROUNDS_QUERY_HEADS}) != 0)
    throw UsageError(fmt::format("{} rounds what this program knows nothing of ({:#x})", who,
                                 bits & ~std::uint32_t{FBK_ROUNDS_QUERY_HEADS}));
  return rounds;
}

std::string or_empty(const char* t) { return t == nullptr ? "" : t; }

/// Of fbk_kernel, as version 1 began.
constexpr std::size_t kLeastKernelBytes =
    offsetof(fbk_kernel, flop_executed) + sizeof(fbk_kernel::flop_executed);

/// What both the plug-in and this program know of its kernel number i; what it does not know is
/// null. Throws UsageError.
fbk_kernel known_part(const fbk_kernel& theirs, std::uint32_t i, const std::string& shown) {
  if (theirs.version != FBK_VERSION)  // first: of another version this may be all that holds
    throw UsageError(
        fmt::format("{}: kernel {} is of version {} of the interface; this program serves {}",
                    shown, i, theirs.version, FBK_VERSION));
  if (theirs.struct_size < kLeastKernelBytes)
    throw UsageError(fmt::format("{}: kernel {} says that fbk_kernel has {} bytes", shown, i,
                                 theirs.struct_size));
  fbk_kernel known{};
  std::memcpy(&known, &theirs, std::min<std::size_t>(theirs.struct_size, sizeof known));
  if (known.plan == nullptr || known.run == nullptr || known.destroy == nullptr)
    throw UsageError(fmt::format("{}: kernel {} lacks plan, run or destroy", shown,
                                 quote(or_empty(known.name))));
  if (known.layout > FBK_BSHD)
    throw UsageError(fmt::format("{}: kernel {} wants layout {}, which this program does not know",
                                 shown, quote(or_empty(known.name)), known.layout));
  return known;
}

/// Of calls: on the processor's clock, or on a GPU's, behind what the calls have queued.
class Stopwatch {
 public:
  explicit Stopwatch(cuda::Device* gpu) : gpu_(gpu) {}

  void start() {
    if (gpu_ != nullptr) {
      if (!gpu_->info().emulated) cuda::keep_busy(*gpu_);
      gpu_->mark_first();
    }
    began_ = Clock::now();
  }
  void stop() {
    if (gpu_ != nullptr) {
      unjoined_ = left_work_unjoined();
      if (gpu_->info().emulated)
        gpu_->wait();  // a finding is that of the launches, not of the mark
      gpu_->mark();
    }
    seconds_ = std::chrono::duration<double>(Clock::now() - began_).count();
  }
  /// Waits for a GPU. Throws DeviceError for what its launches did.
  double seconds() const { return gpu_ != nullptr ? gpu_->intervals_s().at(0) : seconds_; }
  /// Whether a GPU works on behind what was timed: on a stream of its own.
  bool works_on(double timed_s) const {
    if (gpu_ == nullptr) return false;
    if (unjoined_) return true;  // seen by what was asked for: the emulated device has no time
    const auto began = Clock::now();
    gpu_->wait();
    const double waited_s = std::chrono::duration<double>(Clock::now() - began).count();
    return waited_s > kWait_s + kWaitShare * timed_s;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr double kWait_s = 3e-4, kWaitShare = 0.1;  ///< what waiting for nothing may take

  cuda::Device* gpu_;
  bool unjoined_ = false;
  Clock::time_point began_;
  double seconds_ = 0;
};

using Symbol = const fbk_kernel* (*)(std::uint32_t, std::uint32_t);

}  // namespace

struct Plugin::Plan {
  const fbk_kernel* kernel = nullptr;
  fbk_problem problem{};
  fbk_plan* own = nullptr;
  cuda::Device* gpu = nullptr;           ///< null: the processor
  std::unique_ptr<DeviceCopies> copies;  ///< on the GPU
  GuardedMemory workspace;               ///< of the processor
  std::size_t workspace_bytes = 0;
  Operands operands{};
  Tensors tensors;
  Marks marks;
  fbk_call call{};

  Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    if (own != nullptr) kernel->destroy(own);
  }

  void place_on_gpu() {
    copies = std::make_unique<DeviceCopies>(*gpu, operands, workspace_bytes);
    tensors = Tensors(operands, problem.device,
                      [this](const std::string& name) { return copies->find(name); });
    call = tensors.call();
    call.workspace = copies->workspace();
  }

  void place_here() {
    workspace = GuardedMemory(workspace_bytes);
    tensors = Tensors(operands);
    marks = Marks(operands, problem.pass == FBK_BACKWARD);
    call = tensors.call();
    call.workspace = workspace.data();
  }

  /// Throws std::runtime_error where there are none.
  DeviceCopies& on_gpu() {
    if (copies == nullptr) throw std::runtime_error("its tensors are on no GPU");
    return *copies;
  }

  /// `answer`, unless memory around the workspace was written.
  Answer vetted(Answer answer) const {
    if (answer.status != Status::kOk || workspace.is_intact()) return answer;
    return {.status = Status::kFailed,
            .why = "it wrote outside of the workspace that its plan asked for"};
  }

  /// What the guest's functions may count on as they are called.
  void get_ready() const {
    if (gpu != nullptr) return gpu->wait();  // which makes its context current, too
    explain_faults_in(operands, workspace.data(), workspace_bytes);
  }
};

Plugin::Plugin(const std::string& text, PluginAbi abi) {
  host_.struct_size = sizeof host_;
  host_.version = FBK_VERSION;
  host_.log = log_line;
  host_.parallel = run_parallel;
  switch (abi) {
    case PluginAbi::kFlashbenchKernel:
      load_kernels(text);
      break;
    case PluginAbi::kTvmFfi:
      function_ = std::make_unique<TvmFfiFunction>(text);
      host_.self = function_.get();
      kernels_.push_back(function_->kernel());
      break;
  }
  const std::string shown = fmt::format("--plugin {}", quote(text));
  for (const fbk_kernel& k : kernels_)
    facts_.push_back(
        {or_empty(k.name), or_empty(k.description), or_empty(k.build),
         roundings_of(k.rounds, fmt::format("{}: kernel {}", shown, or_empty(k.name)))});
  vet_names(facts_, shown);
}

void Plugin::load_kernels(const std::string& path) {
  const std::string shown = fmt::format("--plugin {}", quote(path));
  const auto symbol =
      reinterpret_cast<Symbol>(::dlsym(open_library(path, shown), "flashbench_kernel"));
  if (symbol == nullptr)
    throw UsageError(fmt::format(
        "{} exports no flashbench_kernel; flashbench_kernel.h says what a plug-in is (in C++ it is "
        "extern \"C\")",
        shown));
  for (std::uint32_t i = 0; i < kMostKernels; ++i) {
    const fbk_kernel* theirs = symbol(FBK_VERSION, i);
    if (theirs == nullptr) break;
    kernels_.push_back(known_part(*theirs, i, shown));
  }
  if (kernels_.empty())
    throw UsageError(
        fmt::format("{} has no kernel for version {} of the interface", shown, FBK_VERSION));
}

Plugin::~Plugin() = default;

Answer Plugin::make_plan(std::size_t kernel, const nlohmann::json& problem,
                         std::unique_ptr<Plan>& plan) {
  plan = std::make_unique<Plan>();
  plan->kernel = &kernels_.at(kernel);
  plan->problem = problem_of(problem);
  if ((plan->problem.features & FBK_GPU) != 0) {
    plan->gpu = &gpu(plan->problem.device.device_id);
    plan->gpu->wait();
    set_order(problem.value("order_seed", std::uint64_t{1}));
  }
  std::size_t workspace_bytes = 0;
  Answer answer = explained_answer_to([&](char* why, std::size_t bytes) {
    return plan->kernel->plan(&host_, &plan->problem, &plan->own, &workspace_bytes, why, bytes);
  });
  if (answer.status != Status::kOk) plan->own = nullptr;  // nothing to destroy
  if (answer.status == Status::kOk && plan->own == nullptr)
    answer = {.status = Status::kFailed, .why = "its plan is null"};
  answer.workspace_bytes = workspace_bytes;
  answer.prepares = plan->kernel->prepare != nullptr;
  answer.layout = plan->kernel->layout == FBK_BSHD ? Layout::kBshd : Layout::kBhsd;
  answer.writes_lse = (plan->kernel->writes & FBK_WRITES_LSE) != 0;
  const fbk_kernel& k = *plan->kernel;
  if (answer.status == Status::kOk && k.flop_executed != nullptr)
    answer.flop_executed = k.flop_executed(plan->own);
  if (answer.flop_executed && !is_flop(*answer.flop_executed))
    return {.status = Status::kFailed, .why = "its flop_executed is no number of FLOP"};
  if (workspace_bytes > kMostWorkspace)
    return {.status = Status::kNoMemory,
            .why = fmt::format("it wants {} bytes of workspace", workspace_bytes)};
  return answer;
}

Answer Plugin::ask(std::size_t kernel, const nlohmann::json& problem) {
  std::unique_ptr<Plan> plan;
  return make_plan(kernel, problem, plan);
}

Answer Plugin::plan(std::size_t kernel, int id, const nlohmann::json& problem,
                    const Operands& operands) {
  std::unique_ptr<Plan> plan;
  const Answer answer = make_plan(kernel, problem, plan);
  if (answer.status != Status::kOk) return answer;
  plan->operands = operands;
  plan->workspace_bytes = answer.workspace_bytes;
  if (plan->gpu != nullptr)
    plan->place_on_gpu();
  else
    plan->place_here();
  plans_.insert_or_assign(id, std::move(plan));
  return answer;
}

Answer Plugin::prepare(int id) {
  Plan& plan = *plans_.at(id);
  if (plan.kernel->prepare == nullptr) return {};
  plan.get_ready();
  fbk_call call = plan.call;
  call.d_o = nullptr;
  Answer answer = explained_answer_to([&](char* why, std::size_t bytes) {
    return plan.kernel->prepare(plan.own, &call, why, bytes);
  });
  if (plan.gpu != nullptr) plan.gpu->wait();
  return plan.vetted(std::move(answer));
}

void Plugin::drop(int id) {
  const auto plan = plans_.find(id);
  if (plan == plans_.end()) return;
  try {
    plan->second->get_ready();
  } catch (const std::exception&) {  // after a fault: what can be destroyed is
  }
  plans_.erase(plan);
}

Answer Plugin::give(int id, const Names& tensors) {
  plans_.at(id)->on_gpu().give(tensors);
  return {};
}

Answer Plugin::collect(int id) {
  DeviceCopies& copies = plans_.at(id)->on_gpu();
  copies.collect();
  const std::string trespass = copies.trespass();
  if (trespass.empty()) return {};
  return {.status = Status::kFailed, .why = trespass};
}

Answer Plugin::run(std::span<const int> ids, std::int64_t calls) {
  if (ids.empty()) throw std::runtime_error("no plan to run");
  std::vector<Plan*> plans;
  for (const int id : ids) plans.push_back(plans_.at(id).get());
  const Plan& first = *plans.front();
  first.get_ready();
  Stopwatch stopwatch(first.gpu);
  stopwatch.start();
  Answer answer = explained_answer_to([&](char* why, std::size_t bytes) {
    fbk_status status = FBK_OK;
    std::size_t next = 0;
    for (std::int64_t i = 0; i < calls && status == FBK_OK; ++i) {
      Plan& plan = *plans[next];
      plan.marks.set();
      status = plan.kernel->run(plan.own, &plan.call, why, bytes);
      if (++next == plans.size()) next = 0;
    }
    return status;
  });
  stopwatch.stop();
  if (answer.status != Status::kOk) return answer;  // its own words, whatever the launches did
  answer.seconds = stopwatch.seconds();
  if (stopwatch.works_on(answer.seconds))
    return {.status = Status::kFailed,
            .why =
                "the GPU works on after the stream of the call is done: work on other streams "
                "has to be joined into it"};
  for (const Plan* plan : plans) answer = plan->vetted(std::move(answer));
  return answer;
}

}  // namespace flashbench::guest
