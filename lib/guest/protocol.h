#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/features.h"
#include "core/problem.h"
#include "guest/guest.h"
#include "kernel/execution.h"
#include "system/process.h"

// What the program and a worker say to each other, one JSON object a packet. README.md of this
// room is its description for those who write workers.
namespace flashbench::guest {

inline constexpr int kProtocol = 1;
/// The first word of the command line that makes the program serve a plug-in as a worker.
inline constexpr const char* kServePlugin = "serve-plugin";
/// The number of the socket's descriptor, for workers.
inline constexpr const char* kSocketVariable = "FLASHBENCH_WORKER_SOCKET";

/// What problems can say. A new feature is refused for guests until it has a word here.
Features spoken_features();

/// Where tensors are, as messages say it: here, or on that GPU ("cuda:0").
inline const std::string kOnProcessor = "cpu";
std::string on_gpu(int index);
/// Which GPU; nullopt for the processor. Throws std::exception for what is neither.
std::optional<int> gpu_of(const std::string& device);

/// Everything that a problem and an execution ask of a kernel, but for the tensors. Of the emulated
/// device also `order_seed`.
nlohmann::json problem_message(const Problem& p, const Execution& e,
                               const std::string& device = kOnProcessor);

/// What a worker's packet says. Throws std::exception for what is no JSON, and for more of it than
/// an answer has.
nlohmann::json message_of(std::string_view packet);

/// As a worker greets with it.
nlohmann::json to_message(const KernelFacts& kernel);
/// Throws std::exception for what is no such message.
KernelFacts kernel_of(const nlohmann::json& message);

nlohmann::json to_message(const Answer& answer);
/// Throws std::exception for what is no answer.
Answer answer_of(const nlohmann::json& message);

std::string_view name(Status status);

/// One end of a socket that keeps packets apart (AF_UNIX, SOCK_SEQPACKET).
class Channel {
 public:
  explicit Channel(process::Descriptor socket) : socket_(std::move(socket)) {}

  struct Packet {
    std::string text;
    std::vector<process::Descriptor> descriptors;
  };

  /// False where the other end is gone.
  bool send(const nlohmann::json& message, const std::vector<int>& descriptors = {});
  /// Waits; nullopt where the other end is gone.
  std::optional<Packet> receive();
  /// Whether there is something to receive. Waits at most so long, for a signal, or until `other`,
  /// a descriptor, can be read.
  bool readable(int patience_ms, int other = -1) const;

 private:
  process::Descriptor socket_;
  std::string buffer_;  ///< of packets; clearing a new one each time would cost a cache
};

}  // namespace flashbench::guest
