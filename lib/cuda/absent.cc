#include "cuda/absent.h"

namespace flashbench::cuda {

std::string absent() { return FLASHBENCH_CUDA_ABSENT; }

}  // namespace flashbench::cuda
