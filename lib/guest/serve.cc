#include "guest/serve.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <stdexcept>
#include <utility>

#include "guest/faults.h"
#include "guest/gpu.h"
#include "guest/plugin.h"
#include "guest/protocol.h"
#include "system/error.h"
#include "system/strict_json.h"

namespace flashbench::guest {
namespace {

/// Tensors of a plan, mapped from the descriptors that came with it.
struct Mapped {
  Placement in_place, out_place;
  SharedMemory in, out;

  Operands operands() { return {&in_place, &in, &out_place, &out}; }
};

std::unique_ptr<Mapped> map(const nlohmann::json& message, Channel::Packet& packet) {
  auto mapped = std::make_unique<Mapped>();
  message.at("inputs").get_to(mapped->in_place);
  message.at("outputs").get_to(mapped->out_place);
  if (packet.descriptors.size() != 2) throw std::runtime_error("no memory came with the plan");
  mapped->in = {std::move(packet.descriptors.at(0)), mapped->in_place.bytes, Access::kReadOnly};
  mapped->out = {std::move(packet.descriptors.at(1)), mapped->out_place.bytes, Access::kReadWrite};
  mapped->in.close();
  mapped->out.close();
  return mapped;
}

class Server {
 public:
  Server(Guest& guest, Channel& channel) : guest_(guest), channel_(channel) {}

  void run() {
    while (std::optional<Channel::Packet> packet = channel_.receive()) {
      const Answer answer = answer_to(*packet);
      if (!channel_.send(to_message(answer))) return;
    }
  }

 private:
  Answer answer_to(Channel::Packet& packet) {
    try {
      const nlohmann::json message = parse_strict_json(packet.text, {.array_items = 100'000});
      return dispatch(message.at("op"), message, packet);
    } catch (const OutOfMemoryError& e) {
      return {.status = Status::kNoMemory, .why = e.what()};
    } catch (const UnavailableError& e) {
      return {.status = Status::kUnsupported, .why = e.what()};
    } catch (const DeviceError& e) {
      return {.status = Status::kDeviceError, .why = e.what()};
    } catch (const std::exception& e) {
      return {.status = Status::kFailed, .why = e.what()};
    }
  }

  Answer dispatch(const std::string& op, const nlohmann::json& message, Channel::Packet& packet) {
    if (op == "ask") return guest_.ask(message.at("kernel"), message.at("problem"));
    if (op == "plan") {
      const int id = message.at("plan");
      std::unique_ptr<Mapped> mapped = map(message, packet);
      const Answer answer =
          guest_.plan(message.at("kernel"), id, message.at("problem"), mapped->operands());
      if (answer.status == Status::kOk) mapped_.insert_or_assign(id, std::move(mapped));
      return answer;
    }
    if (op == "prepare") return guest_.prepare(message.at("plan"));
    if (op == "run")
      return guest_.run(message.at("plans").get<std::vector<int>>(), message.at("calls"));
    if (op == "give") {
      const Names tensors{message.at("inputs"), message.at("outputs")};
      return guest_.give(message.at("plan"), tensors);
    }
    if (op == "collect") return guest_.collect(message.at("plan"));
    if (op == "drop") {
      guest_.drop(message.at("plan"));
      mapped_.erase(message.at("plan").get<int>());
      return {};
    }
    return {.status = Status::kFailed, .why = fmt::format("an unknown op '{}'", op)};
  }

  Guest& guest_;
  Channel& channel_;
  std::map<int, std::unique_ptr<Mapped>> mapped_;
};

nlohmann::json hello(const Guest& guest) {
  nlohmann::json kernels = nlohmann::json::array();
  for (const KernelFacts& k : guest.kernels()) kernels.push_back(to_message(k));
  return {{"protocol", kProtocol}, {"kernels", kernels}};
}

}  // namespace

void serve(Guest& guest, Channel& channel) {
  if (channel.send(hello(guest))) Server(guest, channel).run();
}

int serve_plugin(const std::string& abi, const std::string& text, const std::string& driver) {
  const char* number = std::getenv(kSocketVariable);
  const std::optional<PluginAbi> known = from_name<PluginAbi>(abi);
  if (number == nullptr || !known) {
    std::fprintf(stderr, "flashbench: a worker is started by flashbench bench --plugin FILE\n");
    return static_cast<int>(ExitCode::kUsage);
  }
  const int socket = std::atoi(number);
  Channel channel(process::Descriptor(socket, "the worker's socket"));
  explain_faults(socket);
  std::unique_ptr<Plugin> plugin;
  try {
    if (!driver.empty()) use_emulated_driver(driver);
    plugin = std::make_unique<Plugin>(text, *known);
  } catch (const UnavailableError& e) {
    channel.send({{"protocol", kProtocol}, {"unavailable", e.what()}});
    return static_cast<int>(ExitCode::kUnavailable);
  } catch (const std::exception& e) {
    channel.send({{"protocol", kProtocol}, {"error", e.what()}});
    return static_cast<int>(ExitCode::kUsage);
  }
  serve(*plugin, channel);
  return 0;
}

}  // namespace flashbench::guest
