#pragma once

#include <cstdint>

#include "core/problem.h"
#include "core/tensor.h"
#include "core/verdict.h"
#include "oracle/bias_gradient.h"
#include "oracle/compare.h"
#include "oracle/definition.h"
#include "oracle/reference.h"

// What is judged of one set of outputs, and what of it needs no reference.
namespace flashbench::oracle {

/// Judgements of one set of outputs; verdict() keeps those of tensors that are there.
struct Checks {
  TensorCheck o, lse, dq, dk, dv, dsinks, dbias;
  TensorCheck value_range{"O within V", 1};
  TensorCheck value_sums{"sum dV = sum dO", 1}, value_products{"<O,dO> = <V,dV>", 1};
  TensorCheck score_products{"<Q,dQ> = <K,dK>", 1};

  /// `p`: the whole problem, whose number of elements counts.
  explicit Checks(const Problem& p);

  /// Those of batch elements from `first_b` on.
  void merge(const Checks& other, std::int64_t first_b = 0);
  Verdict verdict(const Outputs& out, VerifyLevel level) const;
};

void check_rows(const RowPart& part, const Outputs& out, Checks& checks);
void check_columns(const ColumnPart& part, const Outputs& out, Checks& checks);
void check_sinks(const Expected& want, const Outputs& out, Checks& checks);
void check_dbias(const BiasPart& part, const Outputs& out, Checks& checks);

/// What an empty row, or a key or pair that nobody sees must hold, over all of the outputs.
void check_exact(const Definition& def, const Outputs& out, Checks& checks);

/// That everything was written, and is finite where it must be.
void check_written(const Inputs& in, const Outputs& out, Checks& checks);

/// What a sequence without queries or without keys must hold: outputs [1, h, rows, d].
void check_empty_sequence(const Inputs& in, const Outputs& out, Checks& checks);

/// Throws UsageError when nothing can be judged, when a shape is not the problem's, or when there
/// are gradients but no dO.
void reject_misfits(const Problem& p, const Inputs& in, const Outputs& out);

}  // namespace flashbench::oracle
