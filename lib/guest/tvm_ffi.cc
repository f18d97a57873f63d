#include "guest/tvm_ffi.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <sstream>

#include "guest/call.h"
#include "guest/library.h"
#include "system/error.h"
#include "system/quote.h"

/// A plan keeps nothing but what it was asked for.
struct fbk_plan {
  const flashbench::guest::TvmFfiFunction* function;
  const fbk_problem* problem;
};

namespace flashbench::guest {
namespace {

// TVMFFITypeIndex, what of it is passed; from kObject on: pointers to counted objects.
constexpr std::int32_t kInt = 1, kBool = 2, kFloat = 3, kTensorPtr = 7, kObject = 64;

// TVMFFIObject, which heads every object, and TVMFFIErrorCell behind it, as far as it is read.
struct Object {
  std::uint64_t combined_ref_count;
  std::int32_t type_index;
  std::uint32_t padding;
  void (*deleter)(void* self, int flags);
};
static_assert(sizeof(Object) == 24);
struct ByteArray {
  const char* data;
  std::size_t size;

  std::string text() const { return data == nullptr ? "" : std::string(data, size); }
};
struct Error {
  Object head;
  ByteArray kind, message;
};

TvmFfiAny tensor(const fbk_tensor* t) {
  TvmFfiAny any{};
  any.type_index = kTensorPtr;
  any.v_ptr = const_cast<fbk_tensor*>(t);
  return any;
}

TvmFfiAny scale(const fbk_problem& p, const fbk_call&) {
  TvmFfiAny any{};
  any.type_index = kFloat;
  any.v_float64 = double{p.scale};
  return any;
}

/// Functions that want an integer take a bool for one.
TvmFfiAny causal(const fbk_problem& p, const fbk_call&) {
  TvmFfiAny any{};
  any.type_index = kBool;
  any.v_int64 = (p.features & FBK_CAUSAL) != 0 ? 1 : 0;
  return any;
}

template <auto fbk_call::*member>
TvmFfiAny tensor_at(const fbk_problem&, const fbk_call& c) {
  return tensor(c.*member);
}

constexpr TvmFfiArgument kArguments[] = {{"q", tensor_at<&fbk_call::q>},
                                         {"k", tensor_at<&fbk_call::k>},
                                         {"v", tensor_at<&fbk_call::v>},
                                         {"o", tensor_at<&fbk_call::o>},
                                         {"lse", tensor_at<&fbk_call::lse>},
                                         {"do", tensor_at<&fbk_call::d_o>},
                                         {"dq", tensor_at<&fbk_call::dq>},
                                         {"dk", tensor_at<&fbk_call::dk>},
                                         {"dv", tensor_at<&fbk_call::dv>},
                                         {"scale", scale},
                                         {"causal", causal}};

constexpr const char* kForward = "q k v o lse scale causal";
constexpr const char* kBackward = "q k v o lse do dq dk dv scale causal";

/// What tensors say by their shapes, and causal.
constexpr std::uint32_t kFeatures = FBK_CAUSAL | FBK_VALUE_DIM | FBK_GPU;

std::vector<const TvmFfiArgument*> arguments_of(const std::string& words,
                                                const std::string& shown) {
  std::vector<const TvmFfiArgument*> arguments;
  std::istringstream in(words);
  for (std::string word; in >> word;) {
    const auto* known = std::ranges::find(kArguments, word, &TvmFfiArgument::word);
    if (known == std::end(kArguments))
      throw UsageError(
          fmt::format("{}: arguments are q, k, v, do, o, lse, dq, dk, dv, scale and causal; got {}",
                      shown, quote(word)));
    arguments.push_back(known);
  }
  return arguments;
}

std::string symbol_of(const std::string& name) { return "__tvm_ffi_" + name; }

}  // namespace

bool TvmFfiFunction::Half::takes(std::string_view word) const {
  return std::ranges::any_of(arguments, [&](const TvmFfiArgument* a) { return a->word == word; });
}

TvmFfiFunction::TvmFfiFunction(const std::string& text) {
  const std::string shown = fmt::format("--plugin {}", quote(text));
  const auto [file, function] = split_name(text);
  const std::size_t bracket = std::min(function.find('('), function.size());
  name_ = function.substr(0, bracket);
  if (name_.empty())
    throw UsageError(
        fmt::format("{}: of --abi tvm-ffi it is FILE:NAME, for {}", shown, symbol_of("NAME")));
  read_signature(function.substr(bracket), shown);

  void* library = open_library(file, shown);
  forward_.symbol = symbol_of(name_);
  backward_.symbol = symbol_of(name_ + "_backward");
  for (Half* half : {&forward_, &backward_})
    half->call = reinterpret_cast<TvmFfiCall>(::dlsym(library, half->symbol.c_str()));
  if (forward_.call == nullptr && backward_.call == nullptr)
    throw UsageError(fmt::format("{} exports no {}", shown, forward_.symbol));
  // What it brings itself is found through its own handle.
  move_raised_ = reinterpret_cast<void (*)(void**)>(::dlsym(library, "TVMFFIErrorMoveFromRaised"));
  release_ = reinterpret_cast<int (*)(void*)>(::dlsym(library, "TVMFFIObjectDecRef"));

  kernel_.struct_size = sizeof kernel_;
  kernel_.version = FBK_VERSION;
  kernel_.name = name_.c_str();
  kernel_.description = description_.c_str();
  kernel_.writes = forward_.takes("lse") ? FBK_WRITES_LSE : 0;
  kernel_.plan = plan;
  kernel_.run = run;
  kernel_.destroy = [](fbk_plan* plan) { delete plan; };
}

void TvmFfiFunction::read_signature(const std::string& signature, const std::string& shown) {
  std::string forward = kForward, backward = kBackward;
  if (!signature.empty()) {
    if (!signature.ends_with(')'))
      throw UsageError(fmt::format("{}: its arguments end with a bracket", shown));
    forward = signature.substr(1, signature.size() - 2);
    if (const std::size_t semicolon = forward.find(';'); semicolon != std::string::npos) {
      backward = forward.substr(semicolon + 1);
      forward.resize(semicolon);
    }
  }
  forward_.arguments = arguments_of(forward, shown);
  backward_.arguments = arguments_of(backward, shown);
  if (!forward_.takes("o") ||
      backward_.takes("dq") + backward_.takes("dk") + backward_.takes("dv") < 3)
    throw UsageError(
        fmt::format("{}: outputs are arguments too: o, and dq, dk and dv behind a ;", shown));
  for (const char* gradient : {"do", "dq", "dk", "dv"})
    if (forward_.takes(gradient))
      throw UsageError(
          fmt::format("{}: {} is an argument of a backward call, which stands behind "
                      "a ;",
                      shown, gradient));
  for (const TvmFfiArgument* a : forward_.arguments)
    description_ += fmt::format("{}{}", description_.empty() ? "" : " ", a->word);
}

std::string TvmFfiFunction::refusal(const fbk_problem& p) const {
  if (const std::uint32_t beyond = p.features & ~kFeatures; beyond != 0)
    return fmt::format("functions of tvm-ffi are given no {}", feature_words(beyond));
  const bool with_forward = (p.pass & FBK_FORWARD) != 0,
             with_backward = (p.pass & FBK_BACKWARD) != 0;
  for (const Half* half : {&forward_, &backward_}) {
    if (half == &forward_ ? !with_forward : !with_backward) continue;
    if (half->call == nullptr) return fmt::format("its library exports no {}", half->symbol);
    if ((p.features & FBK_CAUSAL) != 0 && !half->takes("causal"))
      return fmt::format("{} has no argument causal", half->symbol);
    const double usual = 1 / std::sqrt(static_cast<double>(p.d));
    if (!half->takes("scale") && std::abs(double{p.scale} - usual) > 1e-6 * usual)
      return fmt::format("{} has no argument scale, for another than 1/sqrt(d)", half->symbol);
  }
  if (with_forward && with_backward && backward_.takes("lse") && !forward_.takes("lse"))
    return fmt::format("{} takes an lse, which {} does not write", backward_.symbol,
                       forward_.symbol);
  return "";
}

fbk_status TvmFfiFunction::plan(const fbk_host* host, const fbk_problem* p, fbk_plan** out,
                                std::size_t* workspace_bytes, char* why, std::size_t bytes) {
  const auto* function = static_cast<const TvmFfiFunction*>(host->self);
  if (const std::string refused = function->refusal(*p); !refused.empty()) {
    refused.copy(why, bytes - 1);
    return FBK_UNSUPPORTED;
  }
  *workspace_bytes = 0;
  *out = new fbk_plan{function, p};
  return FBK_OK;
}

fbk_status TvmFfiFunction::run(fbk_plan* plan, const fbk_call* call, char* why, std::size_t bytes) {
  const auto& [function, problem] = *plan;
  fbk_status status = FBK_OK;
  if ((problem->pass & FBK_FORWARD) != 0)
    status = function->run(function->forward_, *problem, *call, why, bytes);
  if ((problem->pass & FBK_BACKWARD) != 0 && status == FBK_OK)
    status = function->run(function->backward_, *problem, *call, why, bytes);
  return status;
}

fbk_status TvmFfiFunction::run(const Half& half, const fbk_problem& p, const fbk_call& call,
                               char* why, std::size_t bytes) const {
  std::vector<TvmFfiAny> arguments;
  arguments.reserve(half.arguments.size());
  for (const TvmFfiArgument* a : half.arguments) arguments.push_back(a->value(p, call));
  TvmFfiAny result{};  // None
  const int code =
      half.call(nullptr, arguments.data(), static_cast<std::int32_t>(arguments.size()), &result);
  if (result.type_index >= kObject && release_ != nullptr) release_(result.v_ptr);
  if (code == 0) return FBK_OK;
  return failure(code, why, bytes);
}

fbk_status TvmFfiFunction::failure(int code, char* why, std::size_t bytes) const {
  void* raised = nullptr;
  if (move_raised_ != nullptr) move_raised_(&raised);
  fbk_status status = FBK_FAILED;
  std::string text = fmt::format("it returned {} and says nothing of it", code);
  if (raised != nullptr) {
    const auto& error = *static_cast<const Error*>(raised);
    text = fmt::format("{}: {}", error.kind.text(), error.message.text());
    if (error.kind.text() == "NotImplementedError") status = FBK_UNSUPPORTED;
    if (release_ != nullptr) release_(raised);
  }
  text.copy(why, bytes - 1);
  return status;
}

}  // namespace flashbench::guest
