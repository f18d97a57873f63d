#pragma once

#include <gtest/gtest.h>

#include <string>

#include "oracle/verify.h"
#include "tests/oracle/flavours.h"
#include "tests/oracle/host_attention.h"

namespace flashbench::oracle {

inline constexpr VerifyLevel kLevels[] = {VerifyLevel::kFull, VerifyLevel::kSample};

/// Right results of a problem, on every kind of inputs, in every dtype and at both levels, stay at
/// or below .75 of the limit. `what`: which problem, for messages.
inline void expect_room_to_spare(Problem p, const std::string& what) {
  for (const host::Flavour& flavour : host::kFlavours)
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kF16}) {
      p.dtype = dtype;
      p.d_o = flavour.d_o;
      Inputs in = host::random_inputs(p);
      flavour.change(in);
      const Outputs out = host::attention(p, in);
      for (const VerifyLevel level : kLevels)
        for (const TensorVerdict& t : Reference(p, in, level).verify(out).tensors)
          EXPECT_LE(t.error_over_noise, 1.5) << flavour.name << ", " << what << ", " << name(dtype)
                                             << ", " << t.tensor << ", " << name(level);
    }
}

}  // namespace flashbench::oracle
