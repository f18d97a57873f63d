// libcudnn and the CUDA runtime, found at run time: the plug-in is built without either.
#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace cudnn_plugin {

constexpr const char* kHowToGetIt =
    "python3 -m pip install --target cudnn nvidia-cudnn-cu13 nvidia-cuda-runtime, then put "
    "LD_LIBRARY_PATH=$PWD/cudnn/nvidia/cudnn/lib in front of the command";
constexpr std::size_t kLeastVersion = 90600;  // 9.6: masks by position for any lengths

struct Library {
  void *cudnn = nullptr, *runtime = nullptr;
  std::size_t version = 0;
  std::string missing;  ///< why there is none
};

inline std::string shown_version(std::size_t version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

/// The runtime of the major version that cuDNN was made with: where the linker looks, else beside
/// cuDNN, as wheels have it. Its name; empty: it is not there.
inline std::string runtime_for(std::size_t major, const void* symbol_of_cudnn) {
  const std::string name = "libcudart.so." + std::to_string(major);
  std::string folder;
  if (Dl_info info; ::dladdr(symbol_of_cudnn, &info) != 0 && info.dli_fname != nullptr)
    folder = info.dli_fname;
  folder.resize(folder.rfind('/') == std::string::npos ? 0 : folder.rfind('/'));
  for (const std::string& path :
       {name, folder + "/" + name, folder + "/../../cu" + std::to_string(major) + "/lib/" + name,
        folder + "/../../cuda_runtime/lib/" + name})
    if (::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr) return path;
  return {};
}

/// libcudnn.so.9 where the run-time linker looks (LD_LIBRARY_PATH, the system's folders).
inline Library load_cudnn() {
  Library found;
  found.cudnn = ::dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
  if (found.cudnn == nullptr) {
    found.missing = std::string(::dlerror()) + "; to get it: " + kHowToGetIt;
    return found;
  }
  void* version = ::dlsym(found.cudnn, "cudnnGetVersion");
  void* runtime_version = ::dlsym(found.cudnn, "cudnnGetCudartVersion");
  if (version == nullptr || runtime_version == nullptr) {
    found.missing = std::string("this libcudnn.so.9 is none: ") + kHowToGetIt;
    return found;
  }
  found.version = reinterpret_cast<std::size_t (*)()>(version)();
  if (found.version < kLeastVersion) {
    found.missing = "this libcudnn is " + shown_version(found.version) + "; " +
                    shown_version(kLeastVersion) + " or later is needed: " + kHowToGetIt;
    return found;
  }
  const std::size_t major = reinterpret_cast<std::size_t (*)()>(runtime_version)() / 1000;
  const std::string runtime = runtime_for(major, version);
  if (runtime.empty()) {
    found.missing = "libcudart.so." + std::to_string(major) +
                    " is not found, which this libcudnn needs: add its folder to LD_LIBRARY_PATH";
    return found;
  }
  found.runtime = ::dlopen(runtime.c_str(), RTLD_NOW | RTLD_LOCAL);
  // The frontend opens it by this name, and would take another major version that it finds first.
  ::setenv("CUDNN_FRONTEND_CUDART_LIB_NAME", runtime.c_str(), 1);
  return found;
}

}  // namespace cudnn_plugin
