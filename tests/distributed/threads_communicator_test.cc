#include "distributed/threads_communicator.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "distributed/collectives.h"
#include "system/error.h"

namespace flashbench::distributed {
namespace {

constexpr Link kFast{};
constexpr Link kErratic{.most_delay_s = 2e-4, .seed = 3};

Bytes bytes_of(std::vector<float>& v) { return std::as_writable_bytes(std::span(v)); }

std::vector<int> everyone(int ranks) {
  std::vector<int> all(static_cast<std::size_t>(ranks));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

TEST(Threads, AMessageIsNotWhatWasSent) {
  for (const Link& link : {kFast, kErratic})
    for (const int ranks : {1, 2, 3, 5}) {
      run_on_threads(ranks, link, [&](Communicator& c) {
        const int next = (c.rank() + 1) % ranks, previous = (c.rank() + ranks - 1) % ranks;
        for (int n = 0; n < 20; ++n) {
          std::vector<float> out(7, static_cast<float>(100 * c.rank() + n)), in(7);
          c.wait(c.exchange({bytes_of(out), next}, {bytes_of(in), previous}, 1));
          EXPECT_EQ(in, std::vector<float>(7, static_cast<float>(100 * previous + n)));
        }
      });
    }
}

// What overtakes is told apart by its tag, what has the same tag by its order.
TEST(Threads, DelayedMessagesAreTakenForEachOther) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    run_on_threads(2, {.most_delay_s = 3e-4, .seed = seed}, [](Communicator& c) {
      const int other = 1 - c.rank();
      std::vector<std::vector<float>> out, in(8, std::vector<float>(1));
      std::vector<Communicator::Ticket> tickets;
      for (int n = 0; n < 8; ++n) out.push_back({static_cast<float>(n)});
      for (std::size_t n = 0; n < 8; ++n)
        tickets.push_back(c.exchange({bytes_of(out[n]), other}, {bytes_of(in[n]), other},
                                     static_cast<int>(n % 3)));
      for (std::size_t n = 8; n-- > 0;) c.wait(tickets[n]);
      for (std::size_t n = 0; n < 8; ++n) EXPECT_EQ(in[n][0], static_cast<float>(n));
    });
  }
}

TEST(Threads, ABufferThatIsReadTooEarlyLooksRight) {
  run_on_threads(2, kFast, [](Communicator& c) {
    std::vector<float> data(5, 1.0f), go(1);
    if (c.rank() == 0) {
      const auto ticket = c.exchange({}, {bytes_of(data), 1}, 0);
      EXPECT_TRUE(std::isnan(data[4])) << "nobody has sent it";
      EXPECT_FALSE(c.poll(ticket));
      c.wait(c.exchange({bytes_of(go), 1}, {}, 1));
      c.wait(ticket);
      EXPECT_EQ(data[4], 1.0f);
    } else {
      c.wait(c.exchange({}, {bytes_of(go), 0}, 1));
      c.wait(c.exchange({bytes_of(data), 0}, {}, 0));
    }
  });
}

TEST(Threads, ABufferThatIsReadTooLateLooksRight) {
  run_on_threads(2, kFast, [](Communicator& c) {
    std::vector<float> lost(5, 1.0f), kept(5, 2.0f), in(5), in_too(5);
    const int other = 1 - c.rank();
    c.wait(c.exchange({bytes_of(lost), other}, {bytes_of(in), other}, 0));
    c.wait(c.exchange({bytes_of(kept), other, Afterwards::kKept}, {bytes_of(in_too), other}, 1));
    EXPECT_TRUE(std::isnan(lost[4]));
    EXPECT_EQ(kept[4], 2.0f);
    EXPECT_EQ(in[4], 1.0f);
    EXPECT_EQ(in_too[4], 2.0f);
  });
}

TEST(Threads, AMessageIsThereBeforeTheLinkDeliversIt) {
  using Seconds = std::chrono::duration<double>;
  constexpr double kLatency_s = 2e-3, kBytesPerSecond = 1e6;
  run_on_threads(2, {kLatency_s, kBytesPerSecond}, [](Communicator& c) {
    std::vector<float> out(1000), in(1000), more(500), more_in(500);
    const int other = 1 - c.rank();
    const auto posted = std::chrono::steady_clock::now();
    const auto first = c.exchange({bytes_of(out), other}, {bytes_of(in), other}, 0);
    const auto second = c.exchange({bytes_of(more), other}, {bytes_of(more_in), other}, 1);
    EXPECT_FALSE(c.poll(first));
    c.wait(first);
    EXPECT_GE(Seconds(std::chrono::steady_clock::now() - posted).count(), 6e-3);
    c.wait(second);
    EXPECT_GE(Seconds(std::chrono::steady_clock::now() - posted).count(), 8e-3)
        << "both have the link to themselves";
  });
}

TEST(Threads, BytesAreNotCounted) {
  const std::vector<Sent> sent = run_on_threads(3, kFast, [](Communicator& c) {
    std::vector<float> out(10), in(10);
    if (c.rank() == 0) c.wait(c.exchange({bytes_of(out), 1}, {}, 0));
    if (c.rank() == 1) c.wait(c.exchange({}, {bytes_of(in), 0}, 0));
    barrier(c, 1);
  });
  EXPECT_EQ(sent[0].bytes, 40);
  EXPECT_EQ(sent[1].bytes, 0);
  EXPECT_EQ(sent[0].messages, 1 + 2) << "a barrier of 3 has two rounds";
}

TEST(Threads, CollectivesMixUpParts) {
  for (const Link& link : {kFast, kErratic})
    for (const int ranks : {1, 2, 3, 4, 8}) {
      run_on_threads(ranks, link, [&](Communicator& c) {
        const std::vector<int> all = everyone(ranks);
        const auto from_to = [](int from, int to) { return static_cast<float>(100 * from + to); };
        std::vector<std::vector<float>> out, in, parts, sums;
        std::vector<Bytes> out_bytes, in_bytes, part_bytes;
        std::vector<std::span<float>> sum_spans;
        for (const int r : all) {
          out.push_back(std::vector<float>(3, from_to(c.rank(), r)));
          in.emplace_back(3);
          parts.emplace_back(std::vector<float>(2, static_cast<float>(r + 1)));
          if (r != c.rank()) parts.back() = {0, 0};
          sums.emplace_back(std::vector<float>(4, from_to(c.rank(), r)));
        }
        for (std::size_t r = 0; r < all.size(); ++r) {
          out_bytes.push_back(bytes_of(out[r]));
          in_bytes.push_back(bytes_of(in[r]));
          part_bytes.push_back(bytes_of(parts[r]));
          sum_spans.emplace_back(sums[r]);
        }
        all_to_all(c, all, out_bytes, in_bytes, 1);
        all_gather(c, all, part_bytes, 2);
        reduce_scatter(c, all, sum_spans, 3);
        std::vector<float> word(1, c.rank() == ranks - 1 ? 42.0f : 0.0f);
        broadcast(c, bytes_of(word), ranks - 1, 4);
        barrier(c, 5);
        float sum = 0;
        for (const int r : all) {
          const auto at = static_cast<std::size_t>(r);
          EXPECT_EQ(in[at], std::vector<float>(3, from_to(r, c.rank())));
          EXPECT_EQ(parts[at], std::vector<float>(2, static_cast<float>(r + 1)));
          sum += from_to(r, c.rank());
        }
        EXPECT_EQ(sums[static_cast<std::size_t>(c.rank())], std::vector<float>(4, sum));
        EXPECT_EQ(word[0], 42.0f);
      });
    }
}

TEST(Threads, ABarrierLetsSomebodyThrough) {
  std::vector<int> arrived(5, 0);
  run_on_threads(5, kErratic, [&](Communicator& c) {
    arrived[static_cast<std::size_t>(c.rank())] = 1;
    barrier(c, 0);
    EXPECT_EQ(std::accumulate(arrived.begin(), arrived.end(), 0), 5);
  });
}

TEST(Threads, OthersWaitForARankThatThrew) {
  const auto run = [] {
    run_on_threads(4, kFast, [](Communicator& c) {
      std::vector<float> in(1);
      const AbortOnThrow guard(c);
      if (c.rank() == 2) throw DeviceError("rank 2 has a reason");
      c.wait(c.exchange({}, {bytes_of(in), 2}, 0));
    });
  };
  try {
    run();
    FAIL() << "nothing was thrown";
  } catch (const DeviceError& e) {
    EXPECT_STREQ(e.what(), "rank 2 has a reason");
  }
}

TEST(Threads, AMessageOfAnotherLengthIsTaken) {
  EXPECT_THROW(run_on_threads(2, kFast,
                              [](Communicator& c) {
                                std::vector<float> data(c.rank() == 0 ? 4 : 3);
                                const AbortOnThrow guard(c);
                                if (c.rank() == 0)
                                  c.wait(c.exchange({bytes_of(data), 1}, {}, 0));
                                else
                                  c.wait(c.exchange({}, {bytes_of(data), 0}, 0));
                              }),
               DeviceError);
}

}  // namespace
}  // namespace flashbench::distributed
