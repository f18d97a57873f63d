#pragma once

#include "core/tensor.h"
#include "distributed/communicator.h"
#include "distributed/schedule.h"

namespace flashbench::distributed {

/// Which rows of a member of the ring its parts own: of queries or of keys.
using PartRows = std::vector<std::int64_t>;
PartRows rows_of_parts(const OwnedRows& of_member, int parts);

/// Rows for heads, among the ranks that are parts of one member: `own` [b, heads, own rows, d]
/// becomes `part` [b, heads/parts, the member's rows, d], which is at hand on return.
void rows_to_heads(Communicator& ranks, const Schedule& s, const PartRows& rows, const Tensor& own,
                   Tensor& part, int tag);
/// And back.
void heads_to_rows(Communicator& ranks, const Schedule& s, const PartRows& rows, const Tensor& part,
                   Tensor& own, int tag);

}  // namespace flashbench::distributed
