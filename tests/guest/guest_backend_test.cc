#include "guest/guest_backend.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <string>

#include "cuda/backend.h"
#include "system/error.h"

namespace flashbench::guest {
namespace {

/// What comes of naming a guest that is no guest.
std::string refusal(GuestBackend& guests, const GuestSource& source) {
  try {
    guests.kernels_of(source);
  } catch (const UnavailableError& e) {
    return e.what();
  } catch (const UsageError& e) {
    return e.what();
  }
  return "";
}

// One moment without descriptors or processes was the end of a guest in a run of hours.
TEST(GuestBackend, WhatFailsOnceIsTriedAgain) {
  cuda::CudaBackend own;
  GuestBackend guests(own);
  const GuestSource source{.kind = GuestSource::Kind::kWorker, .text = "exit 3"};
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{3, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const std::string without = refusal(guests, source);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(without.starts_with("no socket for a worker: ")) << without;
  const std::string with = refusal(guests, source);
  EXPECT_NE(with.find("its worker ended with exit code 3"), std::string::npos) << with;
}

}  // namespace
}  // namespace flashbench::guest
