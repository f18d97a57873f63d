#include "distributed/head_exchange.h"

#include <numeric>
#include <vector>

#include "distributed/collectives.h"
#include "distributed/copy_rows.h"

namespace flashbench::distributed {
namespace {

/// The ranks of a member, in the order of their parts.
std::vector<int> parts_of_member(const Schedule& s) {
  std::vector<int> group(static_cast<std::size_t>(s.of.heads_over()));
  std::iota(group.begin(), group.end(), s.rank - s.part());
  return group;
}

Bytes bytes_of(Tensor& t) { return {t.as<std::byte>(), t.bytes()}; }

/// Buffers of messages.
struct Parcels {
  std::vector<Tensor> tensors;

  void add(const Tensor& like, std::int64_t heads, std::int64_t rows) {
    const Dims& dims = like.dims();
    tensors.emplace_back(like.dtype(), Dims{dims.b, heads, rows, dims.d});
  }
  std::vector<Bytes> bytes() {
    std::vector<Bytes> all;
    for (Tensor& t : tensors) all.push_back(bytes_of(t));
    return all;
  }
};

}  // namespace

PartRows rows_of_parts(const OwnedRows& of_member, int parts) {
  PartRows rows;
  for (int part = 0; part < parts; ++part) rows.push_back(of_member.part(part, parts).count());
  return rows;
}

void rows_to_heads(Communicator& ranks, const Schedule& s, const PartRows& rows, const Tensor& own,
                   Tensor& part, int tag) {
  const std::vector<int> group = parts_of_member(s);
  const std::int64_t heads = part.dims().h, own_rows = own.dims().rows;
  Parcels out, in;
  for (std::size_t i = 0; i < group.size(); ++i) {
    out.add(own, heads, own_rows);
    copy_part(own, {static_cast<std::int64_t>(i) * heads, 0}, out.tensors.back(), {}, heads,
              own_rows);
    in.add(own, heads, rows[i]);
  }
  all_to_all(ranks, group, out.bytes(), in.bytes(), tag);
  std::int64_t first = 0;
  for (std::size_t i = 0; i < group.size(); first += rows[i++])
    copy_part(in.tensors[i], {}, part, {0, first}, heads, rows[i]);
}

void heads_to_rows(Communicator& ranks, const Schedule& s, const PartRows& rows, const Tensor& part,
                   Tensor& own, int tag) {
  const std::vector<int> group = parts_of_member(s);
  const std::int64_t heads = part.dims().h, own_rows = own.dims().rows;
  Parcels out, in;
  std::int64_t first = 0;
  for (std::size_t i = 0; i < group.size(); first += rows[i++]) {
    out.add(part, heads, rows[i]);
    copy_part(part, {0, first}, out.tensors.back(), {}, heads, rows[i]);
    in.add(part, heads, own_rows);
  }
  all_to_all(ranks, group, out.bytes(), in.bytes(), tag);
  for (std::size_t i = 0; i < group.size(); ++i)
    copy_part(in.tensors[i], {}, own, {static_cast<std::int64_t>(i) * heads, 0}, heads, own_rows);
}

}  // namespace flashbench::distributed
