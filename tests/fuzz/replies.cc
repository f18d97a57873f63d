// A plug-in whose replies are the fuzzer's bytes, and zeros behind their end. Zeros are what a good
// one replies; what would end its own process (wild pointers, endless loops) it leaves.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "guest/flashbench_kernel.h"

namespace {

constexpr std::uint32_t kKernels = 2;
constexpr std::size_t kMostText = 300, kMostWorkspace = 1 << 16;
constexpr int kMostCalls = 64;

std::string_view rest;
int calls = 0;

std::uint64_t take(std::size_t bytes) {
  std::uint64_t number = 0;
  const std::size_t there = std::min(bytes, rest.size());
  std::memcpy(&number, rest.data(), there);
  rest.remove_prefix(there);
  return number;
}

void take_text(char* to, std::size_t bytes) {
  const std::size_t length = take(2) % bytes;
  for (std::size_t i = 0; i < length; ++i) to[i] = static_cast<char>(take(1));
  to[length] = '\0';
}

fbk_status status(std::uint64_t choice, char* why, std::size_t bytes) {
  const auto code = static_cast<fbk_status>(choice & 7);  // up to 4 they have names
  if (code != FBK_OK) take_text(why, bytes);
  return code;
}

fbk_status plan(const fbk_host*, const fbk_problem*, fbk_plan** out, std::size_t* workspace_bytes,
                char* why, std::size_t bytes) {
  static char own;
  const std::uint64_t choice = take(1);
  *workspace_bytes = take((choice & 8) != 0 ? 8 : 2);
  if (*workspace_bytes > kMostWorkspace) *workspace_bytes |= std::size_t{1} << 47;  // none has it
  *out = (choice & 16) != 0 ? nullptr : reinterpret_cast<fbk_plan*>(&own);
  return status(choice, why, bytes);
}

fbk_status run(fbk_plan*, const fbk_call* call, char* why, std::size_t bytes) {
  const std::uint64_t choice = take(1);
  if ((choice & 8) != 0 && call->workspace != nullptr) static_cast<char*>(call->workspace)[-1] = 0;
  return ++calls > kMostCalls ? FBK_FAILED : status(choice, why, bytes);
}

void destroy(fbk_plan*) {}

double flop_executed(const fbk_plan*) {
  const std::uint64_t bits = take(8);
  double number = 0;
  std::memcpy(&number, &bits, sizeof number);
  return number;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void replies_are(const char* bytes,
                                                                   std::size_t count) {
  rest = {bytes, count};
  calls = 0;
}

const fbk_kernel* flashbench_kernel(std::uint32_t host_version, std::uint32_t i) {
  static fbk_kernel kernels[kKernels];
  static char texts[kKernels][3][kMostText];
  const std::uint64_t choice = take(2);
  const auto chosen = [&](int bit) { return (choice >> bit & 1) != 0; };
  if (i >= kKernels || chosen(0) != (i > 0)) return nullptr;
  fbk_kernel& k = kernels[i];
  k = {};
  k.struct_size = chosen(1) ? static_cast<std::uint32_t>(take(4)) : sizeof k;
  k.version = chosen(2) ? static_cast<std::uint32_t>(take(4)) : host_version;
  for (int t = 0; t < 3; ++t) {
    std::strcpy(texts[i][t], i == 0 ? "first" : "second");
    if (chosen(3 + t)) take_text(texts[i][t], kMostText);
  }
  k.name = texts[i][0];
  k.description = chosen(6) ? nullptr : texts[i][1];
  k.build = chosen(7) ? nullptr : texts[i][2];
  k.plan = chosen(8) ? nullptr : plan;
  k.run = run;
  k.prepare = chosen(9) ? run : nullptr;
  k.destroy = destroy;
  k.flop_executed = chosen(10) ? flop_executed : nullptr;
  if (chosen(11)) k.layout = static_cast<std::uint32_t>(take(1));
  if (chosen(12)) k.writes = static_cast<std::uint32_t>(take(1));
  if (chosen(13)) k.rounds = static_cast<std::uint32_t>(take(1));
  return &k;
}
