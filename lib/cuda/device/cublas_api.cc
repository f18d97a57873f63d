#include "cuda/device/cublas_api.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "cuda/device/loader.h"

namespace flashbench::cuda {
namespace {

/// The toolkit's own major version first. CUDA 12 declares the same functions, and its libraries
/// run on newer drivers.
constexpr const char* kLibraries[] = {"libcublas.so.13", "libcublas.so.12"};

CublasApi find_all(Loader& from) {
  CublasApi api{};
  from.find(api.create, "cublasCreate_v2");
  from.find(api.set_math_mode, "cublasSetMathMode");
  from.find(api.set_workspace, "cublasSetWorkspace_v2");
  from.find(api.gemm, "cublasGemmStridedBatchedEx");
  from.find(api.status_name, "cublasGetStatusName");
  return api;
}

Loaded<CublasApi> load() {
  for (const char* const name : kLibraries) {
    void* const library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    Loader loader(library);
    const CublasApi api = find_all(loader);
    if (loader.missing().empty()) return {.api = api};
    return {.absent = fmt::format("{} lacks {}", name, loader.missing())};
  }
  return {.absent = fmt::format("{} was not found; install cuBLAS (it comes with the CUDA toolkit) "
                                "or name its folder in LD_LIBRARY_PATH",
                                kLibraries[0])};
}

}  // namespace

const CublasApi* load_cublas(std::string& absent) {
  static const Loaded<CublasApi> loaded = load();
  return loaded.get(absent);
}

}  // namespace flashbench::cuda
