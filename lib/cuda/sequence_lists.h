#pragma once

#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include "core/problem.h"
#include "cuda/contract/family.h"
#include "cuda/contract/sequence_tile.h"
#include "cuda/device/device.h"

// A ragged batch in one launch a kernel: the lists of work, made with the plan.
namespace flashbench::cuda {

/// The list of a launch. Sequences of which a CTA takes longest come first, so that short ones fill
/// the gaps at the end: CTAs of query tiles stream keys, those of key tiles queries.
std::vector<SequenceTile> sequence_tiles(const Problem& p, const Launch& launch);

/// Makes what was described of a ragged batch RaggedAttention::all.
void describe_as_one_sequence(const Problem& p, Attention& a);

/// Those of all launches of a plan, on a device. Launches of tiles with as many rows share one.
class SequenceLists {
 public:
  SequenceLists(Device& device, const Problem& p, const std::vector<Launch>& launches);

  static std::size_t bytes(const Shape& s, const std::vector<Launch>& launches);
  /// Rows of all heads are counted in 32 bits.
  static bool fit(const Shape& s);

  RaggedAttention argument(const Attention& all, const Launch& launch) const;

 private:
  std::map<std::pair<ListOf, int>, DeviceBuffer> lists_;  // by what it is of, and a tile's rows
};

}  // namespace flashbench::cuda
