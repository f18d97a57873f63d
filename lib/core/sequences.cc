#include "core/sequences.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

namespace flashbench {

Sequences::Sequences(std::vector<SequenceLengths> lengths) : lengths_(std::move(lengths)) {
  for (const SequenceLengths& one : lengths_) {
    first_query_.push_back(first_query_.back() + one.queries);
    first_key_.push_back(first_key_.back() + one.keys);
    most_queries_ = std::max(most_queries_, one.queries);
    most_keys_ = std::max(most_keys_, one.keys);
  }
}

const Sequences* Sequences::of(const std::vector<SequenceLengths>& lengths) {
  static std::mutex mutex;
  static std::vector<std::unique_ptr<const Sequences>> all;  // a sweep has a handful
  const std::lock_guard lock(mutex);
  for (const auto& known : all)
    if (known->lengths() == lengths) return known.get();
  all.push_back(std::unique_ptr<const Sequences>(new Sequences(lengths)));
  return all.back().get();
}

}  // namespace flashbench
