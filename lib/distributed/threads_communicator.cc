#include "distributed/threads_communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <tuple>
#include <utility>

#include "system/error.h"

namespace flashbench::distributed {
namespace {

using Clock = std::chrono::steady_clock;

Clock::duration seconds(double s) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
}

/// Every byte 0xFF is a NaN in every dtype.
void poison(Bytes bytes) {
  if (!bytes.empty()) std::memset(bytes.data(), 0xFF, bytes.size());
}

/// A number in [0, 1) of the n-th message of a rank (splitmix64).
double random(std::uint64_t seed, int rank, std::int64_t n) {
  std::uint64_t x = seed + 0x9E3779B97F4A7C15u * (static_cast<std::uint64_t>(n) * 4099 +
                                                  static_cast<std::uint64_t>(rank) + 1);
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return static_cast<double>((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

/// One way of an exchange. Both ends know it once both have posted it.
struct Message {
  Outgoing out;
  Incoming in;
  bool sender = false, receiver = false;  ///< have posted it
  Clock::time_point ready = {};           ///< when the link has delivered it
  bool moving = false, done = false;
};
using MessagePointer = std::shared_ptr<Message>;

/// What the ranks share. Whoever of the two ends of a message comes by once it may arrive, copies
/// it: nobody waits for one that still computes.
class Exchanges {
 public:
  using Lock = std::unique_lock<std::mutex>;

  explicit Exchanges(int ranks) : ranks_(ranks) {}

  int ranks() const { return ranks_; }
  Lock lock() { return Lock(mutex_); }

  MessagePointer post_send(Lock& lock, const Outgoing& out, int from, int tag,
                           Clock::time_point ready) {
    const MessagePointer m = claim(lock, {from, out.to, tag}, &Message::sender);
    m->out = out;
    m->ready = ready;
    require_same_size(*m, from, out.to);
    changed_.notify_all();
    return m;
  }
  MessagePointer post_receive(Lock& lock, const Incoming& in, int to, int tag) {
    const MessagePointer m = claim(lock, {in.from, to, tag}, &Message::receiver);
    m->in = in;
    require_same_size(*m, in.from, to);
    changed_.notify_all();
    return m;
  }

  /// Copies it where it can be. Returns whether it is done.
  bool move(Lock& lock, Message& m) {
    stop_if_aborted(lock);
    if (m.done || m.moving || !m.sender || !m.receiver || Clock::now() < m.ready) return m.done;
    m.moving = true;
    ++moving_;
    lock.unlock();
    if (!m.in.bytes.empty()) std::memcpy(m.in.bytes.data(), m.out.bytes.data(), m.in.bytes.size());
    lock.lock();
    --moving_;
    m.done = true;
    changed_.notify_all();
    return true;
  }
  void wait(Lock& lock, Message& m) {
    while (!move(lock, m)) {
      if (m.sender && m.receiver && !m.moving)
        changed_.wait_until(lock, m.ready);
      else
        changed_.wait(lock);
    }
  }

  void abort(const std::string& why) {
    Lock held = lock();
    if (!aborted_) why_ = why;
    aborted_ = true;
    changed_.notify_all();
    changed_.wait(held, [this] { return moving_ == 0; });
  }

 private:
  using Key = std::tuple<int, int, int>;  // from, to, tag

  /// Throws once aborted, when no buffer of the one who is left to unwind is in use.
  void stop_if_aborted(Lock& lock) {
    if (!aborted_) return;
    changed_.wait(lock, [this] { return moving_ == 0; });
    throw Aborted(why_);
  }

  /// The first message that this end has not posted yet; the other end may have.
  MessagePointer claim(Lock& lock, const Key& key, bool Message::*end) {
    stop_if_aborted(lock);
    std::deque<MessagePointer>& open = open_[key];
    for (auto it = open.begin(); it != open.end(); ++it) {
      if ((**it).*end) continue;
      MessagePointer m = *it;
      (*m).*end = true;
      open.erase(it);
      return m;
    }
    open.push_back(std::make_shared<Message>());
    (*open.back()).*end = true;
    return open.back();
  }
  /// With the lock held: nobody copies a message whose ends disagree.
  void require_same_size(const Message& m, int from, int to) {
    if (!m.sender || !m.receiver || m.out.bytes.size() == m.in.bytes.size()) return;
    why_ = fmt::format("rank {} sends {} bytes, but rank {} expects {}", from, m.out.bytes.size(),
                       to, m.in.bytes.size());
    aborted_ = true;
    throw DeviceError(why_);
  }

  int ranks_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, std::deque<MessagePointer>> open_;
  bool aborted_ = false;
  std::string why_;
  int moving_ = 0;  ///< messages that are being copied
};

class ThreadsCommunicator final : public Communicator {
 public:
  ThreadsCommunicator(Exchanges& all, const Link& link, int rank)
      : all_(all), link_(link), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return all_.ranks(); }

  Ticket exchange(const Outgoing& out, const Incoming& in, int tag) override {
    if (in.from != kNobody) poison(in.bytes);
    Exchanges::Lock lock = all_.lock();
    Open open;
    if (out.to != kNobody)
      open.out = all_.post_send(lock, out, rank_, tag, arrival(out.bytes.size()));
    if (in.from != kNobody) open.in = all_.post_receive(lock, in, rank_, tag);
    open_.emplace(next_, std::move(open));
    return next_++;
  }

  bool poll(Ticket ticket) override {
    const Open& open = open_.at(ticket);
    Exchanges::Lock lock = all_.lock();
    const bool in = !open.in || all_.move(lock, *open.in);
    const bool out = !open.out || all_.move(lock, *open.out);
    return in && out;
  }

  void wait(Ticket ticket) override {
    const Open open = std::move(open_.extract(ticket).mapped());
    {
      Exchanges::Lock lock = all_.lock();
      if (open.out) all_.move(lock, *open.out);
      if (open.in) all_.wait(lock, *open.in);
      if (open.out) all_.wait(lock, *open.out);
    }
    if (open.out && open.out->out.afterwards == Afterwards::kLost) poison(open.out->out.bytes);
  }

  void abort(const std::string& why) override { all_.abort(why); }
  Sent sent() const override { return sent_; }

 private:
  struct Open {
    MessagePointer out, in;
  };

  Clock::time_point arrival(std::size_t bytes) {
    const double delay_s = link_.most_delay_s * random(link_.seed, rank_, sent_.messages);
    sent_.bytes += static_cast<std::int64_t>(bytes);
    ++sent_.messages;
    link_free_ = std::max(link_free_, Clock::now()) +
                 seconds(static_cast<double>(bytes) / link_.bytes_per_s);
    return link_free_ + seconds(link_.latency_s + delay_s);
  }

  Exchanges& all_;
  const Link link_;
  const int rank_;
  Ticket next_ = 0;
  std::map<Ticket, Open> open_;
  Clock::time_point link_free_ = Clock::now();  ///< when all that was posted has left
  Sent sent_;
};

}  // namespace

std::vector<Sent> run_on_threads(int ranks, const Link& link,
                                 const std::function<void(Communicator&)>& work) {
  Exchanges all(ranks);
  std::vector<Sent> sent(static_cast<std::size_t>(ranks));
  std::mutex mutex;
  std::exception_ptr first, aborted;  // what was thrown, and what others threw because of it
  const auto fail = [&](std::exception_ptr& slot, const std::string& why) {
    {
      const std::lock_guard<std::mutex> held(mutex);
      if (!slot) slot = std::current_exception();
    }
    all.abort(why);
  };
  const auto run = [&](int rank) {
    ThreadsCommunicator own(all, link, rank);
    try {
      work(own);
      sent[static_cast<std::size_t>(rank)] = own.sent();
    } catch (const Aborted& e) {
      fail(aborted, e.what());
    } catch (const std::exception& e) {
      fail(first, fmt::format("rank {}: {}", rank, e.what()));
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(ranks));
  try {
    for (int rank = 0; rank < ranks; ++rank) threads.emplace_back(run, rank);
  } catch (const std::exception& e) {  // no thread, or no memory for one
    fail(aborted, e.what());
  }
  for (std::thread& t : threads) t.join();
  if (threads.size() < static_cast<std::size_t>(ranks))
    throw UnavailableError(fmt::format("the system starts {} of the {} threads that are ranks",
                                       threads.size(), ranks));
  if (first) std::rethrow_exception(first);
  if (aborted) std::rethrow_exception(aborted);
  return sent;
}

}  // namespace flashbench::distributed
