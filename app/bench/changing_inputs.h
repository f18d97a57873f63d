#pragma once

#include <random>

#include "core/tensor.h"

namespace flashbench::app {

/// Inputs that change in place and come back: rows of every head move round, V and dO change their
/// sign, and some columns of Q and of K, so that other scores come out: of rows and signs alone P
/// would be what it was, and who keeps it would compute half. As much work and as hard, and another
/// result: who computes once and repeats that is wrong. Which change comes when, no kernel
/// can know. Masks, tables and biases stay.
class ChangingInputs {
 public:
  explicit ChangingInputs(Inputs& in) : in_(in), random_(std::random_device{}()) {}
  ChangingInputs(const ChangingInputs&) = delete;
  ~ChangingInputs() { restore(); }

  /// Another change in the place of the last one.
  void change();
  /// As they were at first.
  void restore();
  /// A secret yes or no.
  bool toss() { return (random_() & 1u) != 0; }

 private:
  struct Change {
    std::uint64_t q_rows = 0, k_rows = 0, v_rows = 0, do_rows = 0;
    std::uint64_t q_columns = 0, k_columns = 0;  ///< by what their signs are drawn; 0: all stay
    bool negate_v = false, negate_do = false;
  };
  enum class Way { kThere, kBack };
  void apply(const Change& change, Way way);

  Inputs& in_;
  std::mt19937_64 random_;
  Change now_;
  bool changed_ = false, before_ = false;
};

}  // namespace flashbench::app
