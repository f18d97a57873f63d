#include "guest/faults.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "guest/gpu.h"
#include "ptx/device.h"

namespace flashbench::guest {
namespace {

struct Place {
  std::uintptr_t begin = 0, end = 0;
  std::array<char, 32> name{};
};

constexpr std::size_t kMostPlaces = 64;
/// Beyond the end of the workspace stands a page that nobody may touch.
constexpr std::size_t kGuard = 4096;

int told_through = -1;
std::array<Place, kMostPlaces> places;
std::size_t place_count = 0;
Place workspace_end;
alignas(16) std::array<char, 1 << 16> signal_stack;

/// What may be called in a handler: no allocation, no formatting.
class Line {
 public:
  void add(const char* text) {
    for (; *text != '\0' && size_ < text_.size(); ++text) text_[size_++] = *text;
  }
  void send() const {
    // The program sees what is sent before the process's end.
    ::send(told_through, text_.data(), size_, MSG_NOSIGNAL);
  }

 private:
  std::array<char, 512> text_{};
  std::size_t size_ = 0;
};

const char* name_at(std::uintptr_t address) {
  for (std::size_t i = 0; i < place_count; ++i)
    if (address >= places[i].begin && address < places[i].end) return places[i].name.data();
  return nullptr;
}

void on_fault(int number, siginfo_t* info, void*) {
  // A signal that somebody sent has no address.
  const auto address =
      info->si_code > 0 ? reinterpret_cast<std::uintptr_t>(info->si_addr) : std::uintptr_t{0};
  Line line;
  line.add(R"({"status": "device_error", "why": ")");
  if (const char* name = name_at(address)) {
    line.add("it wrote to ");
    line.add(name);
    line.add(", which is an input");
  } else if (address >= workspace_end.begin && address < workspace_end.end) {
    line.add("it went beyond the workspace that its plan asked for");
  } else if (on_emulated_driver() && address >= ptx::kFirstAddress &&
             address < ptx::kFirstHostAddress) {
    line.add("it touched device memory on the host");
  } else {
    line.add("its worker was ended by signal ");
    line.add(number == SIGBUS ? "7 (Bus error)" : "11 (Segmentation fault)");
  }
  line.add("\"}");
  line.send();
  ::_exit(128 + number);
}

}  // namespace

void explain_faults(int socket) {
  told_through = socket;
  stack_t stack{};
  stack.ss_sp = signal_stack.data();
  stack.ss_size = signal_stack.size();
  ::sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigaction(SIGSEGV, &action, nullptr);
  ::sigaction(SIGBUS, &action, nullptr);
}

void explain_faults_in(const Operands& operands, const void* workspace, std::size_t bytes) {
  place_count = 0;
  const auto base = reinterpret_cast<std::uintptr_t>(operands.in->data());
  for (const Placed& t : operands.in_place->tensors) {
    if (place_count == kMostPlaces) break;
    Place& place = places[place_count++];
    place.begin = base + t.offset;
    place.end = place.begin + t.bytes;
    std::snprintf(place.name.data(), place.name.size(), "%s", t.name.c_str());
  }
  const auto end = reinterpret_cast<std::uintptr_t>(workspace) + (bytes + 255) / 256 * 256;
  workspace_end = workspace == nullptr ? Place{} : Place{end, end + kGuard, {}};
}

}  // namespace flashbench::guest
