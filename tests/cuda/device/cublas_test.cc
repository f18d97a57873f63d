// A cuBLAS that does as it is told: what a GPU would have to break to be seen otherwise.
#include "cuda/device/cublas.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <type_traits>

#include "system/error.h"

#if __has_include(<cublas_v2.h>)
#include <cublas_v2.h>
#endif

namespace flashbench::cuda {
namespace {

using testing::HasSubstr;

#if __has_include(<cublas_v2.h>)
// The table was written by hand: the toolkit's own header agrees with it.
static_assert(kCublasSuccess == CUBLAS_STATUS_SUCCESS);
static_assert(kCublasAllocFailed == CUBLAS_STATUS_ALLOC_FAILED);
static_assert(kCublasNoTranspose == CUBLAS_OP_N && kCublasTranspose == CUBLAS_OP_T);
static_assert(kCublasF32 == CUDA_R_32F && kCublasF16 == CUDA_R_16F && kCublasBf16 == CUDA_R_16BF);
static_assert(kCublasComputeF32 == CUBLAS_COMPUTE_32F);
static_assert(kCublasDefaultAlgorithm == CUBLAS_GEMM_DEFAULT);
static_assert(kCublasDefaultMath == CUBLAS_DEFAULT_MATH);
static_assert(kCublasFullReductions == CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);

/// How the table declares a parameter: enumerations are int, handles void*.
template <typename T>
using Declared = std::conditional_t<
    std::is_enum_v<T>, int,
    std::conditional_t<std::is_same_v<T, cublasHandle_t>, void*,
                       std::conditional_t<std::is_same_v<T, cublasHandle_t*>, void**, T>>>;
template <typename R, typename... P>
auto declared(R (*)(P...)) -> Declared<R> (*)(Declared<P>...);

#define EXPECT_SAME_SIGNATURE(member, function) \
  static_assert(std::is_same_v<decltype(CublasApi::member), decltype(declared(&function))>)
EXPECT_SAME_SIGNATURE(create, cublasCreate_v2);
EXPECT_SAME_SIGNATURE(set_math_mode, cublasSetMathMode);
EXPECT_SAME_SIGNATURE(set_workspace, cublasSetWorkspace_v2);
EXPECT_SAME_SIGNATURE(status_name, cublasGetStatusName);
using GemmFunction = cublasStatus_t(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int,
                                    int, const void*, const void*, cudaDataType, int, long long int,
                                    const void*, cudaDataType, int, long long int, const void*,
                                    void*, cudaDataType, int, long long int, int,
                                    cublasComputeType_t, cublasGemmAlgo_t);  // of two overloads
static_assert(
    std::is_same_v<decltype(CublasApi::gemm),
                   decltype(declared(static_cast<GemmFunction*>(&cublasGemmStridedBatchedEx)))>);
#endif

/// What the fake cuBLAS answers and what it was told; one test runs at a time.
struct Script {
  CublasStatus create = kCublasSuccess, gemm = kCublasSuccess, workspace = kCublasSuccess;
  std::vector<std::string> calls;
  std::vector<long long> arguments;  ///< of the last product
  float alpha = 0, beta = -1;
} script;

CublasApi fake_cublas() {
  CublasApi api{};
  api.create = [](void** handle) {
    script.calls.emplace_back("create");
    *handle = &script;
    return script.create;
  };
  api.set_math_mode = [](void*, int mode) {
    return script.calls.push_back("math " + std::to_string(mode)), kCublasSuccess;
  };
  api.set_workspace = [](void*, void*, std::size_t bytes) {
    return script.calls.push_back("workspace " + std::to_string(bytes)), script.workspace;
  };
  api.gemm = [](void*, int a_op, int b_op, int m, int n, int k, const void* alpha, const void* a,
                int a_type, int a_leading, long long a_stride, const void* b, int b_type,
                int b_leading, long long b_stride, const void* beta, void* c, int c_type,
                int c_leading, long long c_stride, int batch, int compute_type, int algorithm) {
    const auto at = [](const void* p) {
      return static_cast<long long>(reinterpret_cast<Address>(p));
    };
    script.calls.emplace_back("gemm");
    script.alpha = *static_cast<const float*>(alpha);
    script.beta = *static_cast<const float*>(beta);
    script.arguments = {a_op,         b_op,      m,        n,         k,        at(a),
                        a_type,       a_leading, a_stride, at(b),     b_type,   b_leading,
                        b_stride,     at(c),     c_type,   c_leading, c_stride, batch,
                        compute_type, algorithm};
    return script.gemm;
  };
  api.status_name = [](CublasStatus s) {
    return s == kCublasAllocFailed ? "CUBLAS_STATUS_ALLOC_FAILED" : "CUBLAS_STATUS_AS_SCRIPTED";
  };
  return api;
}

Gemm product() {
  Gemm g;
  g.name = "S = Q K^T";
  g.a_op = Transpose::kYes;
  g.m = 2;
  g.n = 3;
  g.k = 4;
  g.batch = 5;
  g.alpha = 0.25f;
  g.a = {0x1000, Element::kBf16, 6, 7};
  g.b = {0x2000, Element::kF16, 8, 9};
  g.c = {0x3000, Element::kF32, 10, 11};
  g.scratch = 0x4000;
  g.scratch_bytes = 1234;
  return g;
}

class CublasTest : public testing::Test {
 protected:
  CublasTest() { script = Script{}; }
  const CublasApi api_ = fake_cublas();
};

TEST_F(CublasTest, EveryArgumentArrivesInItsPlace) {
  Cublas(api_).multiply(product());
  EXPECT_EQ(script.arguments, (std::vector<long long>{1,
                                                      0,
                                                      2,
                                                      3,
                                                      4,
                                                      0x1000,
                                                      kCublasBf16,
                                                      6,
                                                      7,
                                                      0x2000,
                                                      kCublasF16,
                                                      8,
                                                      9,
                                                      0x3000,
                                                      kCublasF32,
                                                      10,
                                                      11,
                                                      5,
                                                      kCublasComputeF32,
                                                      kCublasDefaultAlgorithm}));
  EXPECT_EQ(script.alpha, 0.25f);
  EXPECT_EQ(script.beta, 0.0f);
}

TEST_F(CublasTest, TheWorkspaceIsSetBeforeTheFirstProductAndWhenItMoves) {
  {
    Cublas cublas(api_);
    Gemm g = product();
    cublas.multiply(g);
    cublas.multiply(g);
    g.scratch += 256;
    cublas.multiply(g);
  }
  EXPECT_EQ(script.calls, (std::vector<std::string>{"create", "math 16", "workspace 1234", "gemm",
                                                    "gemm", "workspace 1234", "gemm"}));
}

TEST_F(CublasTest, AWorkspaceThatWasRefusedIsNotTakenForSet) {
  Cublas cublas(api_);
  script.workspace = 7;
  EXPECT_THROW(cublas.multiply(product()), DeviceError);
  EXPECT_THROW(cublas.multiply(product()), DeviceError);
}

TEST_F(CublasTest, AFailureCarriesTheProductAndCublasNameForIt) {
  Cublas cublas(api_);
  script.gemm = 13;
  try {
    cublas.multiply(product());
    FAIL();
  } catch (const DeviceError& e) {
    EXPECT_STREQ(e.what(), "cublasGemmStridedBatchedEx of S = Q K^T: CUBLAS_STATUS_AS_SCRIPTED");
  }
}

TEST_F(CublasTest, NoMemoryIsUnavailable) {
  script.create = kCublasAllocFailed;
  try {
    Cublas cublas(api_);
    FAIL();
  } catch (const UnavailableError& e) {
    EXPECT_STREQ(e.what(), "cublasCreate: CUBLAS_STATUS_ALLOC_FAILED");
  }
}

}  // namespace
}  // namespace flashbench::cuda
