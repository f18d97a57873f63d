#include "guest/worker.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <stdexcept>

#include "system/digits.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::guest {
namespace {

using Clock = std::chrono::steady_clock;

/// Between two looks at what the user wants.
constexpr int kLook_ms = 100;
/// What a worker may take to end, once its socket is closed.
constexpr int kFarewell_ms = 500;
constexpr int kLastBreath_ms = 100;
/// Exit codes beyond are signals.
constexpr int kSignalled = 128;

}  // namespace

Worker::Worker(WorkerSettings settings) : settings_(std::move(settings)) {
  start();
  greet();
}

Worker::~Worker() {
  channel_.reset();
  if (process_ && alive()) process_->ended(kFarewell_ms);
}

void Worker::start() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    throw UnavailableError(fmt::format("no socket for a worker: {}", std::strerror(errno)));
  const process::Descriptor theirs(ends[1], "socket");
  channel_ = std::make_unique<Channel>(process::Descriptor(ends[0], "socket"));
  const process::Descriptor in(::open("/dev/null", O_RDONLY | O_CLOEXEC), "/dev/null");
  const std::string threads = fmt::format("OMP_NUM_THREADS={}", settings_.threads);
  messages_ = std::make_unique<process::Relay>();
  // What a guest prints is no report: it goes where messages go. Not through the relay: into a pipe
  // most programs print as they end, and their last line would stand in the place of the reason.
  process_ = std::make_unique<process::Process>(
      process::Start{.argv = settings_.argv,
                     .in = in.get(),
                     .out = STDERR_FILENO,
                     .err = messages_->in(),
                     .kept = theirs.get(),
                     .environment = {threads, fmt::format("{}={}", kSocketVariable, theirs.get())},
                     .own_group = true});
  messages_->close_in();
}

void Worker::greet() {
  nlohmann::json hello;
  try {
    hello = receive();
  } catch (const DeviceError& e) {
    throw UsageError(fmt::format("{}: {}", settings_.shown, e.what()));
  }
  facts_ = kernels_of_greeting(hello, settings_.shown);
}

Answer Worker::ask(std::size_t kernel, const nlohmann::json& problem) {
  return request({{"op", "ask"}, {"kernel", kernel}, {"problem", problem}});
}

Answer Worker::plan(std::size_t kernel, int id, const nlohmann::json& problem,
                    const Operands& operands) {
  return request({{"op", "plan"},
                  {"kernel", kernel},
                  {"plan", id},
                  {"problem", problem},
                  {"inputs", *operands.in_place},
                  {"outputs", *operands.out_place}},
                 {operands.in->descriptor(), operands.out->descriptor()});
}

Answer Worker::prepare(int id) { return request({{"op", "prepare"}, {"plan", id}}); }

Answer Worker::run(std::span<const int> ids, std::int64_t calls) {
  return request(
      {{"op", "run"}, {"plans", std::vector<int>(ids.begin(), ids.end())}, {"calls", calls}});
}

void Worker::drop(int id) {
  if (alive()) request({{"op", "drop"}, {"plan", id}});
}

Answer Worker::give(int id, const Names& tensors) {
  return request(
      {{"op", "give"}, {"plan", id}, {"inputs", tensors.inputs}, {"outputs", tensors.outputs}});
}

Answer Worker::collect(int id) { return request({{"op", "collect"}, {"plan", id}}); }

std::string Worker::tasks() const {
  return alive() ? fmt::format("/proc/{}/task", process_->id()) : "";
}

Answer Worker::request(const nlohmann::json& message, const std::vector<int>& descriptors) {
  if (!alive()) throw DeviceError(ended_);
  if (!channel_->send(message, descriptors)) give_up(how_it_ended());
  const nlohmann::json reply = receive();
  messages_->end_line();
  Answer answer;
  try {
    answer = answer_of(reply);
  } catch (const std::exception& e) {
    give_up(fmt::format("its worker's answer is none: {}", e.what()));
  }
  // A fault is told with the last breath. One of a GPU is the end of all that its process has
  // there.
  if (answer.status == Status::kDeviceError &&
      (settings_.device != kOnProcessor || process_->ended(kLastBreath_ms)))
    give_up(answer.why);
  return answer;
}

nlohmann::json Worker::receive() {
  const auto began = Clock::now();
  while (!channel_->readable(kLook_ms, process_->watched())) {
    // A process that it started may hold the socket, which then stays open.
    if (process_->ended(0) && !channel_->readable(0)) give_up(how_it_ended());
    if (settings_.stop_requested && settings_.stop_requested()) give_up("interrupted");
    const double waited_s = std::chrono::duration<double>(Clock::now() - began).count();
    if (waited_s <= settings_.patience_s) continue;
    hung_ = true;
    give_up(
        fmt::format("its worker gave no answer within {} s and was ended; --patience says how "
                    "long is too long",
                    digits(settings_.patience_s, 3)));
  }
  std::optional<Channel::Packet> packet;
  try {
    packet = channel_->receive();
  } catch (const std::runtime_error& e) {
    give_up(fmt::format("its worker's answer is none: {}", e.what()));
  }
  if (!packet) give_up(how_it_ended());
  try {
    return message_of(packet->text);
  } catch (const std::exception& e) {
    give_up(fmt::format("its worker's answer is none: {}", e.what()));
  }
}

std::string Worker::how_it_ended() {
  if (!process_->ended(kFarewell_ms)) return "its worker closed the connection";
  const int code = process::exit_code(process_->reap());
  process_.reset();
  if (code > kSignalled)  // a shell says it so, too
    return fmt::format("its worker was ended by signal {} ({})", code - kSignalled,
                       ::strsignal(code - kSignalled));
  const std::string said = messages_->last_line();
  const std::string last = said.empty() ? "" : fmt::format("; its last line: {}", escape(said));
  if (code == process::kCannotExecute) return "it cannot be executed" + last;
  return fmt::format("its worker ended with exit code {} {}{}", code,
                     facts_.empty() ? "before it said what it can" : "in the middle of its work",
                     last);
}

void Worker::give_up(std::string why) {
  ended_ = std::move(why);
  process_.reset();  // killed
  throw DeviceError(ended_);
}

}  // namespace flashbench::guest
