#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>

#include "data/inputs.h"
#include "data/outputs.h"
#include "tests/data/scratch.h"

namespace flashbench::data {
namespace {

/// Every output counts up from 0; all values are exact in bf16.
std::string write_counting(const Scratch& scratch, Dtype dtype, Layout layout) {
  Problem p;
  p.shape = {1, 4, 2, 3, 5, 2};
  p.pass = Pass::kBackward;
  p.dtype = dtype;
  p.files.layout = layout;
  Outputs out = make_outputs(p);
  for (Tensor* t : {&out.o, &out.lse, &out.dq, &out.dk, &out.dv})
    for (std::int64_t i = 0; i < t->count(); ++i) t->set(i, static_cast<float>(i));
  const std::string path = scratch.path(std::string(name(layout)) + ".safetensors");
  write_outputs(path, p, out, p.pass);
  return path;
}

TEST(PublicSafetensorsPackage, OpensWhatFlashbenchWrites) {
  const Scratch scratch;
  const std::string command = "'" FLASHBENCH_PYTHON "' '" FLASHBENCH_TEST_DATA
                              "/safetensors_python_test.py' '" +
                              write_counting(scratch, Dtype::kF32, Layout::kBhsd) + "' '" +
                              write_counting(scratch, Dtype::kBf16, Layout::kBshd) + "' 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string said;
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) said += static_cast<char>(c);
  const int status = pclose(pipe);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << FLASHBENCH_PYTHON << ": " << said;
  if (WEXITSTATUS(status) >= 126) GTEST_SKIP() << "no Python that starts: " << said;
  EXPECT_EQ(WEXITSTATUS(status), 0) << said;
}

}  // namespace
}  // namespace flashbench::data
