#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>

namespace flashbench::distributed {

using Bytes = std::span<std::byte>;

/// No rank: nothing is sent, or nothing comes.
inline constexpr int kNobody = -1;

/// Another rank ended the work of all of them.
struct Aborted : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What becomes of a buffer once it was sent: whoever sends something that is still needed says so,
/// since an engine may overwrite what is not, to find who reads it nevertheless.
enum class Afterwards { kLost, kKept };

struct Outgoing {
  Bytes bytes;
  int to = kNobody;
  Afterwards afterwards = Afterwards::kLost;
};
struct Incoming {
  Bytes bytes;
  int from = kNobody;
};

/// What one rank sent to others.
struct Sent {
  std::int64_t bytes = 0, messages = 0;
};

/// The ranks of a program that computes together, as one of them sees it; that one alone calls it.
/// Messages between two ranks are told apart by their tags; those of one tag arrive in the order in
/// which they were sent. Every call throws Aborted once a rank called abort().
class Communicator {
 public:
  /// Of one exchange, until it is waited for.
  using Ticket = std::uint64_t;

  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Begins to send and to receive a message; the one that comes must be as long as was said. Until
  /// the ticket was waited for, what goes out must not change, what comes in must not be looked at.
  virtual Ticket exchange(const Outgoing& out, const Incoming& in, int tag) = 0;
  /// Moves on what can move. Returns whether wait() would return at once.
  virtual bool poll(Ticket ticket) = 0;
  virtual void wait(Ticket ticket) = 0;

  /// Ends the work of all ranks, which calls that wait notice. Returns once no buffer is in use.
  virtual void abort(const std::string& why) = 0;

  virtual Sent sent() const = 0;
};

/// Ends the work of all ranks where an exception leaves its scope: declared behind the buffers of
/// messages, which others would read and write while they are gone.
class AbortOnThrow {
 public:
  explicit AbortOnThrow(Communicator& ranks) : ranks_(ranks) {}
  AbortOnThrow(const AbortOnThrow&) = delete;
  AbortOnThrow& operator=(const AbortOnThrow&) = delete;
  ~AbortOnThrow() {
    if (std::uncaught_exceptions() > before_) ranks_.abort("an exception");
  }

 private:
  Communicator& ranks_;
  int before_ = std::uncaught_exceptions();
};

}  // namespace flashbench::distributed
