#include <algorithm>
#include <chrono>

#include "emulated_driver/state.h"

// The driver's functions of streams and events. Work is done as it is queued; what is kept is
// whether somebody has waited for that of streams which nobody waits for by himself.
using namespace flashbench::emulated_driver;

namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void join(Stream& stream, std::uint64_t queued) { stream.joined = std::max(stream.joined, queued); }

Result joined_stream(void* stream) {
  return guarded([&] {
    Stream& of = stream_of(stream);
    join(of, of.queued);
    return kSuccess;
  });
}

Result joined_event(void* event) {
  return guarded([&] {
    const Event& of = events().at(event);
    if (of.stream != nullptr) join(*of.stream, of.queued);
    return kSuccess;
  });
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

/// Of this driver alone: 1 where work on a non-blocking stream was joined into no other and nobody
/// has waited for it, since this was last asked; else 0.
int flashbench_emulated_unjoined() {
  const std::lock_guard lock(one_at_a_time());
  bool unjoined = false;
  streams().for_each([&](Stream& s, bool) {
    if (!s.blocking && s.queued > s.joined) unjoined = true;
    join(s, s.queued);
  });
  return unjoined ? 1 : 0;
}

Result cuCtxSynchronize() {
  finish_streams();
  flashbench_emulated_unjoined();
  return state();
}

Result cuStreamCreate(void** stream, unsigned flags) {
  return guarded([&] {
    if (stream == nullptr) return nowhere();
    constexpr unsigned kNonBlocking = 1;
    *stream = streams().give({current(), (flags & kNonBlocking) == 0});
    return kSuccess;
  });
}

Result cuStreamDestroy_v2(void* stream) {
  return guarded([&] {
    streams().end(stream);
    return kSuccess;
  });
}

Result cuStreamSynchronize(void* stream) { return joined_stream(stream); }
Result cuStreamQuery(void* stream) { return joined_stream(stream); }

Result cuStreamWaitEvent(void* stream, void* event, unsigned) {
  return guarded([&] {
    Stream& waits = stream_of(stream);
    const Event& of = events().at(event);
    if (of.stream == nullptr) return kSuccess;
    // Whoever waits for this stream waits for the other one, too.
    if (!of.stream->blocking && of.queued > of.stream->joined) ++waits.queued;
    join(*of.stream, of.queued);
    return kSuccess;
  });
}

Result cuEventCreate(void** event, unsigned) {
  return guarded([&] {
    if (event == nullptr) return nowhere();
    *event = events().give({current()});
    return kSuccess;
  });
}

Result cuEventDestroy_v2(void* event) {
  return guarded([&] {
    events().end(event);
    return kSuccess;
  });
}

Result cuEventRecord(void* event, void* stream) {
  return guarded([&] {
    Event& what = events().at(event);
    if (what.gpu != current()) throw InvalidHandle("an event of another context");
    what.stream = &stream_of(stream);
    what.queued = what.stream->queued;
    what.recorded_s = now_s();
    return kSuccess;
  });
}

Result cuEventSynchronize(void* event) { return joined_event(event); }
Result cuEventQuery(void* event) { return joined_event(event); }

Result cuEventElapsedTime(float* milliseconds, void* start, void* end) {
  return guarded([&] {
    if (milliseconds == nullptr) return nowhere();
    const double from_s = events().at(start).recorded_s, to_s = events().at(end).recorded_s;
    if (from_s < 0 || to_s < 0) throw InvalidHandle("an event that was never recorded");
    *milliseconds = static_cast<float>(1e3 * (to_s - from_s));
    return kSuccess;
  });
}

}  // extern "C"
#pragma GCC visibility pop
