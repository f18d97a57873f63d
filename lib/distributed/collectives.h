#pragma once

#include <span>
#include <vector>

#include "distributed/communicator.h"

// What several ranks do together. Each of them calls it, in the same order, with the same tag.
namespace flashbench::distributed {

/// The ranks that take part, the caller among them; each lists the same ones in the same order.
using Group = std::span<const int>;

/// Part i of `out` goes to member i of the group, part i of `in` comes from it. What `out` holds is
/// lost.
void all_to_all(Communicator& ranks, Group group, std::span<const Bytes> out,
                std::span<const Bytes> in, int tag);

/// Part i comes from member i; the caller's own must be there.
void all_gather(Communicator& ranks, Group group, std::span<const Bytes> parts, int tag);

/// Part i is summed over the group, in its order, and ends with member i, in its own part. What the
/// other parts hold is lost.
void reduce_scatter(Communicator& ranks, Group group, std::span<const std::span<float>> parts,
                    int tag);

/// `data` of rank `root` comes to all ranks.
void broadcast(Communicator& ranks, Bytes data, int root, int tag);

/// Returns when every rank has called it.
void barrier(Communicator& ranks, int tag);

}  // namespace flashbench::distributed
