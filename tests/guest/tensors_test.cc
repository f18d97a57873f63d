#include "guest/tensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "data/inputs.h"
#include "system/error.h"

namespace flashbench::guest {
namespace {

Problem problem() {
  Problem p;
  p.shape = {2, 4, 2, 5, 7, 8};
  p.pass = Pass::kBoth;
  p.d_o = GradSource::kRandom;
  p.padding = PaddingMask::kRandom;
  return p;
}

const Placed& tensor(const Placement& placement, std::string_view name) {
  for (const Placed& t : placement.tensors)
    if (t.name == name) return t;
  throw std::runtime_error("no such tensor");
}

TEST(GuestTensors, StandApartAndAligned) {
  const Problem p = problem();
  const Placement places[] = {place_inputs(p, data::make_inputs(p)), place_outputs(p)};
  for (const Placement& placement : places) {
    std::size_t end = 0;
    for (const Placed& t : placement.tensors) {
      EXPECT_EQ(t.offset % 256, 0u) << t.name;
      EXPECT_TRUE(end == 0 || t.offset >= end + 256) << t.name;
      end = t.offset + t.bytes;
    }
    EXPECT_GE(placement.bytes, end + 256) << "behind the last one, too, nobody may write";
  }
}

/// Or a library whose rows of a token lie together would have to copy within its time.
TEST(GuestTensors, RowsOfATokenLieTogetherWhereThatIsWanted) {
  Problem p = problem();
  p.shape.q_len = p.shape.kv_len;
  const Inputs in = data::make_inputs(p);
  const Placement given = place_inputs(p, in, Layout::kBshd);
  const Placement wanted = place_outputs(p, Layout::kBshd);
  SharedMemory memory(given.bytes), results(wanted.bytes);
  copy_inputs(in, given, memory, Given::kForward);
  poison(results);
  const Placed& k = tensor(given, "k");
  EXPECT_EQ(k.shape, (std::vector<std::int64_t>{2, 2, 7, 8}));
  EXPECT_EQ(k.strides, (std::vector<std::int64_t>{7 * 2 * 8, 8, 2 * 8, 1}));
  EXPECT_EQ(tensor(wanted, "lse").strides, (std::vector<std::int64_t>{4 * 7, 7, 1}));
  const auto* stored = reinterpret_cast<const float*>(memory.data() + k.offset);
  for (std::int64_t b = 0; b < 2; ++b)
    for (std::int64_t h = 0; h < 2; ++h)
      for (std::int64_t row = 0; row < 7; ++row)
        EXPECT_EQ(stored[((b * 7 + row) * 2 + h) * 8 + 3],
                  in.k.at(in.k.dims().index(b, h, row, 3)));
  // O is q, as it lies: what comes back is q in the program's order.
  std::memcpy(results.data() + tensor(wanted, "o").offset,
              memory.data() + tensor(given, "q").offset, in.q.bytes());
  Outputs out = data::make_outputs(p);
  collect_outputs(results, wanted, out);
  EXPECT_EQ(std::memcmp(out.o.data(), in.q.data(), in.q.bytes()), 0);
}

TEST(GuestTensors, InputsArriveAsTheyAre) {
  const Problem p = problem();
  const Inputs in = data::make_inputs(p);
  const Placement placement = place_inputs(p, in);
  SharedMemory memory(placement.bytes);
  copy_inputs(in, placement, memory, Given::kFixed);
  copy_inputs(in, placement, memory, Given::kForward);
  const auto at = [&](std::string_view name) {
    return memory.data() + tensor(placement, name).offset;
  };
  EXPECT_EQ(std::memcmp(at("q"), in.q.data(), in.q.bytes()), 0);
  EXPECT_EQ(std::memcmp(at("k"), in.k.data(), in.k.bytes()), 0);
  EXPECT_EQ(std::memcmp(at("v"), in.v.data(), in.v.bytes()), 0);
  EXPECT_EQ(std::memcmp(at("key_mask"), in.key_mask.data(), in.key_mask.size()), 0);
  EXPECT_TRUE(std::isnan(*reinterpret_cast<const float*>(at("do")))) << "not before its time";
  copy_inputs(in, placement, memory, Given::kGradient);
  EXPECT_EQ(std::memcmp(at("do"), in.d_o.data(), in.d_o.bytes()), 0);
}

// Heads of a sequence lie one behind the other here, rows one behind the other there.
TEST(GuestTensors, RaggedBatchesAreRowsOfAllHeads) {
  Problem p;
  p.ragged = Ragged::kLengths;
  p.shape = {1, 2, 2, 1, 1, 4};
  p.shape.set(Sequences::of({{3, 2}, {1, 4}}));
  const Inputs in = data::make_inputs(p);
  const Placement placement = place_inputs(p, in);
  SharedMemory memory(placement.bytes);
  copy_inputs(in, placement, memory, Given::kFixed);
  copy_inputs(in, placement, memory, Given::kForward);
  const Placed& q = tensor(placement, "q");
  EXPECT_EQ(q.shape, (std::vector<std::int64_t>{1, 2, 4, 4}));
  EXPECT_EQ(q.strides, (std::vector<std::int64_t>{32, 4, 8, 1}));
  const auto* rows = reinterpret_cast<const float*>(memory.data() + q.offset);
  for (std::int64_t b = 0, first = 0; b < 2; first += p.shape.q_len_of(b++))
    for (std::int64_t h = 0; h < 2; ++h)
      for (std::int64_t r = 0; r < p.shape.q_len_of(b); ++r)
        for (std::int64_t d = 0; d < 4; ++d)
          EXPECT_EQ(rows[(first + r) * q.strides[2] + h * q.strides[1] + d], in.q.at(b, h, r, d));
  const auto* lengths = reinterpret_cast<const std::int32_t*>(
      memory.data() + tensor(placement, "cu_seqlens_k").offset);
  EXPECT_EQ(lengths[1], 2);
  EXPECT_EQ(lengths[2], 6);
}

TEST(GuestTensors, WhatStandsBetweenOutputsIsLookedAt) {
  const Problem p = problem();
  const Placement placement = place_outputs(p);
  SharedMemory memory(placement.bytes);
  for (const Placed& t : placement.tensors) {
    poison(memory);
    Outputs out = data::make_outputs(p);
    EXPECT_NO_THROW(collect_outputs(memory, placement, out));
    memory.data()[t.offset + t.bytes] = std::byte{0};
    EXPECT_THROW(collect_outputs(memory, placement, out), DeviceError) << t.name;
    poison(memory);
    memory.data()[placement.tensors.front().offset - 1] = std::byte{0};
    EXPECT_THROW(collect_outputs(memory, placement, out), DeviceError);
  }
}

TEST(GuestTensors, PoisonLeavesTheForwardToABackward) {
  const Problem p = problem();
  const Placement placement = place_outputs(p);
  SharedMemory memory(placement.bytes);
  std::memset(memory.data(), 0, memory.bytes());
  poison(memory, &placement);
  for (const Placed& t : placement.tensors)
    EXPECT_EQ(memory.data()[t.offset] == std::byte{0xFF}, t.name.starts_with("d")) << t.name;
}

TEST(GuestTensors, PlacementsGoThroughMessages) {
  const Problem p = problem();
  const Placement sent = place_outputs(p);
  const Placement got = nlohmann::json::parse(nlohmann::json(sent).dump()).get<Placement>();
  ASSERT_EQ(got.tensors.size(), sent.tensors.size());
  EXPECT_EQ(got.bytes, sent.bytes);
  for (std::size_t i = 0; i < got.tensors.size(); ++i) {
    EXPECT_EQ(got.tensors[i].name, sent.tensors[i].name);
    EXPECT_EQ(got.tensors[i].strides, sent.tensors[i].strides);
    EXPECT_EQ(got.tensors[i].offset, sent.tensors[i].offset);
  }
}

// Whoever serves a plug-in would be ended where it touches them.
TEST(GuestTensors, LieWithinTheirMemory) {
  const nlohmann::json good = place_outputs(problem());
  const auto changed = [&](const char* member, const nlohmann::json& to) {
    nlohmann::json placement = good;
    placement["tensors"][0][member] = to;
    return placement;
  };
  EXPECT_NO_THROW(good.get<Placement>());
  const std::size_t bytes = good["bytes"];
  EXPECT_THROW(changed("offset", bytes).get<Placement>(), std::runtime_error);
  EXPECT_THROW(changed("offset", ~std::size_t{0} - 100).get<Placement>(), std::runtime_error);
  EXPECT_THROW(changed("bytes", bytes).get<Placement>(), std::runtime_error);
  EXPECT_THROW(changed("strides", {1}).get<Placement>(), std::runtime_error);
}

}  // namespace
}  // namespace flashbench::guest
