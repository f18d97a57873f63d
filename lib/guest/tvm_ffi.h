#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "guest/flashbench_kernel.h"

// The door of Apache TVM FFI (c_api.h of 0.1): a library exports
//
//     int __tvm_ffi_NAME(void* self, const TVMFFIAny* args, int32_t num_args, TVMFFIAny* result);
//
// which writes its outputs into tensors that it is given. What calling it takes stands here; a
// library that needs libtvm_ffi.so brings it.
namespace flashbench::guest {

/// TVMFFIAny: a number, or a pointer to a DLTensor, which fbk_tensor is.
struct TvmFfiAny {
  std::int32_t type_index;
  std::uint32_t zero_padding;
  union {
    std::int64_t v_int64;
    double v_float64;
    void* v_ptr;
  };
};
static_assert(sizeof(TvmFfiAny) == 16);

using TvmFfiCall = int (*)(void* self, const TvmFfiAny* args, std::int32_t num_args,
                           TvmFfiAny* result);

/// One of a function's arguments, by its word in a signature.
struct TvmFfiArgument {
  std::string_view word;
  TvmFfiAny (*value)(const fbk_problem&, const fbk_call&);
};

/// A function of a library, and the one for gradients beside it, as a kernel.
class TvmFfiFunction {
 public:
  /// `text`: FILE:NAME, or FILE:NAME(FORWARD) or FILE:NAME(FORWARD; BACKWARD) with the arguments of
  /// NAME and NAME_backward in their order. Throws UsageError: no such file or symbol, or another
  /// word than q, k, v, do, o, lse, dq, dk, dv, scale and causal.
  explicit TvmFfiFunction(const std::string& text);
  TvmFfiFunction(const TvmFfiFunction&) = delete;

  /// Takes the function from fbk_host.self; valid as long as this object.
  const fbk_kernel& kernel() const { return kernel_; }

 private:
  struct Half {
    TvmFfiCall call = nullptr;  ///< null: the library has none
    std::string symbol = {};
    std::vector<const TvmFfiArgument*> arguments = {};

    bool takes(std::string_view word) const;
  };

  void read_signature(const std::string& signature, const std::string& shown);
  /// Why it cannot compute a problem; "": it can, as far as can be known.
  std::string refusal(const fbk_problem& p) const;
  fbk_status run(const Half& half, const fbk_problem& p, const fbk_call& call, char* why,
                 std::size_t bytes) const;
  /// What a call that returned `code` ends with, and the message of the error that it has raised.
  fbk_status failure(int code, char* why, std::size_t bytes) const;

  static fbk_status plan(const fbk_host* host, const fbk_problem* p, fbk_plan** out,
                         std::size_t* workspace_bytes, char* why, std::size_t bytes);
  static fbk_status run(fbk_plan* plan, const fbk_call* call, char* why, std::size_t bytes);

  Half forward_, backward_;
  std::string name_, description_;
  void (*move_raised_)(void** error) = nullptr;  ///< of the library's libtvm_ffi.so, if any
  int (*release_)(void* object) = nullptr;
  fbk_kernel kernel_{};
};

}  // namespace flashbench::guest
