#include "guest/protocol.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "core/enumerators.h"
#include "core/features.h"
#include "system/error.h"
#include "system/quote.h"
#include "system/strict_json.h"

namespace flashbench::guest {
namespace {

constexpr std::size_t kMostBytes = 1 << 20;
constexpr std::size_t kMostDescriptors = 2;
constexpr std::size_t kLongestWhy = 500;
constexpr JsonLimits kLimits{.depth = 16, .array_items = 4096, .values = 100'000};

struct Word {
  Feature feature;
  std::string_view word;  ///< of `features`; "": another member says it
};
/// A feature that has none is refused for all guests.
constexpr Word kWords[] = {{Feature::kGradients, ""},
                           {Feature::kCausal, "causal"},
                           {Feature::kKeyMask, "key_mask"},
                           {Feature::kWindow, "window"},
                           {Feature::kSoftcap, "softcap"},
                           {Feature::kAlibi, "alibi"},
                           {Feature::kSinks, "sinks"},
                           {Feature::kBias, "bias"},
                           {Feature::kBiasGradient, "bias_gradient"},
                           {Feature::kPages, "pages"},
                           {Feature::kRagged, "ragged"},
                           {Feature::kValueDim, "value_dim"},
                           {Feature::kKvDtype, "kv_dtype"},
                           {Feature::kValuesInKeys, "values_in_keys"}};

}  // namespace

std::string_view name(Status status) {
  switch (status) {
    case Status::kOk:
      return "ok";
    case Status::kUnsupported:
      return "unsupported";
    case Status::kNoMemory:
      return "no_memory";
    case Status::kDeviceError:
      return "device_error";
    case Status::kFailed:
      return "failed";
  }
  no_such_enumerator();
}

Features spoken_features() {
  Features all;
  for (const Word& w : kWords) all.add(w.feature);
  return all;
}

namespace {
constexpr std::string_view kGpuPrefix = "cuda:";
}

std::string on_gpu(int index) { return fmt::format("{}{}", kGpuPrefix, index); }

std::optional<int> gpu_of(const std::string& device) {
  if (device == kOnProcessor) return std::nullopt;
  int index = -1;
  if (device.starts_with(kGpuPrefix)) {
    const char* const end = device.data() + device.size();
    const auto [rest, error] = std::from_chars(device.data() + kGpuPrefix.size(), end, index);
    if (rest != end || error != std::errc()) index = -1;
  }
  if (index < 0) throw std::runtime_error(fmt::format("an unknown device '{}'", device));
  return index;
}

nlohmann::json problem_message(const Problem& p, const Execution& e, const std::string& device) {
  const Shape& s = p.shape;
  nlohmann::json features = nlohmann::json::array();
  for (const Word& w : kWords)
    if (uses(p, w.feature) && !w.word.empty()) features.push_back(w.word);
  if (e.deterministic) features.push_back("deterministic");
  if (device != kOnProcessor) features.push_back("gpu");
  const Dims bias = p.bias == Bias::kNone ? Dims{1, 1, 0, 0} : p.bias_dims();
  nlohmann::json message = {{"pass", name(p.pass)},
                            {"features", features},
                            {"threads", e.threads},
                            {"device", device},
                            {"dtype", name(p.dtype)},
                            {"kv_dtype", name(p.kv_dtype())},
                            {"bias_dtype", name(p.bias_dtype())},
                            {"b", s.b},
                            {"h", s.h},
                            {"h_kv", s.h_kv},
                            {"q_len", s.q_len},
                            {"kv_len", s.kv_len},
                            {"d", s.d},
                            {"d_v", s.d_v()},
                            {"window_left", p.window_left.value_or(-1)},
                            {"window_right", p.window_right.value_or(-1)},
                            {"page_size", p.page_size},
                            {"bias_b", bias.b},
                            {"bias_h", bias.h},
                            {"scale", p.softmax_scale()},
                            {"softcap", p.softcap}};
  if (e.device == kEmulatedDevice) message["order_seed"] = e.order_seed;
  return message;
}

nlohmann::json message_of(std::string_view packet) { return parse_strict_json(packet, kLimits); }

nlohmann::json to_message(const KernelFacts& k) {
  nlohmann::json rounds = nlohmann::json::array();
  for (const ExtraRounding r : kExtraRoundings)
    if (k.rounds.has(r)) rounds.push_back(name(r));
  return {{"name", k.name}, {"description", k.description}, {"build", k.build}, {"rounds", rounds}};
}

KernelFacts kernel_of(const nlohmann::json& m) {
  KernelFacts facts{m.at("name"), m.value("description", ""), m.value("build", "")};
  for (const std::string word : m.value("rounds", nlohmann::json::array())) {
    const auto known = from_name<ExtraRounding>(word);
    if (!known)
      throw UsageError(fmt::format("it rounds {}, which is not known; known is {}", quote(word),
                                   name(kExtraRoundings.front())));
    facts.rounds.add(*known);
  }
  return facts;
}

nlohmann::json to_message(const Answer& a) {
  nlohmann::json message = {{"status", name(a.status)}, {"seconds", a.seconds}};
  if (a.status != Status::kOk) message["why"] = a.why;
  if (a.workspace_bytes != 0) message["workspace_bytes"] = a.workspace_bytes;
  if (a.flop_executed) message["flop_executed"] = *a.flop_executed;
  if (a.prepares) message["prepares"] = true;
  if (a.layout != Layout::kBhsd) message["layout"] = name(a.layout);
  if (a.writes_lse) message["writes_lse"] = *a.writes_lse;
  return message;
}

Answer answer_of(const nlohmann::json& message) {
  Answer a;
  const std::optional<Status> status = from_name<Status>(message.at("status").get<std::string>());
  if (!status) throw std::runtime_error("an unknown status");
  a.status = *status;
  a.why = escape(message.value("why", "").substr(0, kLongestWhy));
  if (message.contains("workspace_bytes")) {
    const nlohmann::json& bytes = message["workspace_bytes"];
    if (!bytes.is_number_unsigned() || bytes.get<std::uint64_t>() > kMostWorkspace)
      throw std::runtime_error("workspace_bytes is no number of bytes");
    a.workspace_bytes = bytes.get<std::size_t>();
  }
  if (message.contains("flop_executed")) a.flop_executed = message["flop_executed"].get<double>();
  a.prepares = message.value("prepares", false);
  if (message.contains("layout")) {
    const auto layout = from_name<Layout>(message["layout"].get<std::string>());
    if (!layout) throw std::runtime_error("an unknown layout");
    a.layout = *layout;
  }
  if (message.contains("writes_lse")) a.writes_lse = message["writes_lse"].get<bool>();
  a.seconds = message.value("seconds", 0.0);
  if (!(std::isfinite(a.seconds) && a.seconds >= 0)) throw std::runtime_error("seconds are none");
  if (a.flop_executed && !is_flop(*a.flop_executed))
    throw std::runtime_error("flop_executed is no number of FLOP");
  return a;
}

bool Channel::send(const nlohmann::json& message, const std::vector<int>& descriptors) {
  std::string text = message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  iovec bytes{text.data(), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostDescriptors * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  if (!descriptors.empty()) {
    const std::size_t size = descriptors.size() * sizeof(int);
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(size);
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(rights), descriptors.data(), size);
  }
  ssize_t sent = -1;
  do {
    sent = ::sendmsg(socket_.get(), &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

std::optional<Channel::Packet> Channel::receive() {
  Packet packet;
  buffer_.resize(kMostBytes);
  iovec bytes{buffer_.data(), buffer_.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostDescriptors * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t got = -1;
  do {
    got = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return std::nullopt;
  packet.text.assign(buffer_.data(), static_cast<std::size_t>(got));
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      packet.descriptors.emplace_back(fd, "a worker's descriptor");
    }
  }
  if ((header.msg_flags & MSG_TRUNC) != 0) throw std::runtime_error("a packet beyond 1 MiB");
  return packet;
}

bool Channel::readable(int patience_ms, int other) const {
  std::array<pollfd, 2> either = {{{socket_.get(), POLLIN, 0}, {other, POLLIN, 0}}};
  return ::poll(either.data(), either.size(), patience_ms) > 0 && either[0].revents != 0;
}

}  // namespace flashbench::guest
