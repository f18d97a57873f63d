#include "distributed/collectives.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace flashbench::distributed {
namespace {

std::size_t place_of(const Communicator& ranks, Group group) {
  return static_cast<std::size_t>(
      std::distance(group.begin(), std::find(group.begin(), group.end(), ranks.rank())));
}

Bytes bytes_of(std::span<float> floats) { return std::as_writable_bytes(floats); }

void wait_all(Communicator& ranks, const std::vector<Communicator::Ticket>& tickets) {
  for (const Communicator::Ticket ticket : tickets) ranks.wait(ticket);
}

/// In round n each member sends to the n-th behind it, so that nobody gets two messages at once.
template <typename Exchange>
void for_rounds(Group group, std::size_t own, const Exchange& exchange) {
  const std::size_t members = group.size();
  for (std::size_t n = 1; n < members; ++n)
    exchange((own + n) % members, (own + members - n) % members);
}

}  // namespace

void all_to_all(Communicator& ranks, Group group, std::span<const Bytes> out,
                std::span<const Bytes> in, int tag) {
  const std::size_t own = place_of(ranks, group);
  std::vector<Communicator::Ticket> tickets;
  const AbortOnThrow guard(ranks);
  for_rounds(group, own, [&](std::size_t to, std::size_t from) {
    tickets.push_back(ranks.exchange({out[to], group[to]}, {in[from], group[from]}, tag));
  });
  if (!out[own].empty()) std::memcpy(in[own].data(), out[own].data(), out[own].size());
  wait_all(ranks, tickets);
}

void all_gather(Communicator& ranks, Group group, std::span<const Bytes> parts, int tag) {
  const std::size_t own = place_of(ranks, group);
  std::vector<Communicator::Ticket> tickets;
  const AbortOnThrow guard(ranks);
  for_rounds(group, own, [&](std::size_t to, std::size_t from) {
    tickets.push_back(ranks.exchange({parts[own], group[to], Afterwards::kKept},
                                     {parts[from], group[from]}, tag));
  });
  wait_all(ranks, tickets);
}

void reduce_scatter(Communicator& ranks, Group group, std::span<const std::span<float>> parts,
                    int tag) {
  const std::size_t own = place_of(ranks, group);
  std::vector<std::vector<float>> others(group.size());
  std::vector<Communicator::Ticket> tickets;
  const AbortOnThrow guard(ranks);
  for_rounds(group, own, [&](std::size_t to, std::size_t from) {
    others[from].resize(parts[own].size());
    tickets.push_back(ranks.exchange({bytes_of(parts[to]), group[to]},
                                     {bytes_of(others[from]), group[from]}, tag));
  });
  wait_all(ranks, tickets);
  others[own].assign(parts[own].begin(), parts[own].end());
  std::fill(parts[own].begin(), parts[own].end(), 0.0f);
  for (const std::vector<float>& other : others)
    std::transform(other.begin(), other.end(), parts[own].begin(), parts[own].begin(),
                   [](float x, float sum) { return sum + x; });
}

void broadcast(Communicator& ranks, Bytes data, int root, int tag) {
  if (ranks.rank() != root) {
    ranks.wait(ranks.exchange({}, {data, root}, tag));
    return;
  }
  std::vector<Communicator::Ticket> tickets;
  const AbortOnThrow guard(ranks);
  for (int to = 0; to < ranks.size(); ++to)
    if (to != root) tickets.push_back(ranks.exchange({data, to, Afterwards::kKept}, {}, tag));
  wait_all(ranks, tickets);
}

void barrier(Communicator& ranks, int tag) {
  // Dissemination: after round n each rank has heard of 2^n others.
  for (int distance = 1; distance < ranks.size(); distance *= 2) {
    const int to = (ranks.rank() + distance) % ranks.size();
    const int from = (ranks.rank() + ranks.size() - distance) % ranks.size();
    ranks.wait(ranks.exchange({{}, to}, {{}, from}, tag));
  }
}

}  // namespace flashbench::distributed
