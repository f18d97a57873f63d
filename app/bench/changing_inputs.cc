#include "app/bench/changing_inputs.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace flashbench::app {
namespace {

/// The sign is the highest bit in every dtype.
template <typename Word>
void negate(Tensor& t) {
  constexpr auto kSign = static_cast<Word>(Word{1} << (8 * sizeof(Word) - 1));
  Word* words = t.as<Word>();
  const std::int64_t count = t.count();
#pragma omp parallel for
  for (std::int64_t i = 0; i < count; ++i) words[i] = static_cast<Word>(words[i] ^ kSign);
}

/// Half of the columns, which `drawn` chooses, change their sign.
template <typename Word>
void negate_columns(Tensor& t, std::uint64_t drawn) {
  constexpr auto kSign = static_cast<Word>(Word{1} << (8 * sizeof(Word) - 1));
  const std::int64_t d = t.dims().d, rows = t.count() / d;
  std::vector<Word> signs(static_cast<std::size_t>(d));
  std::mt19937_64 random(drawn);
  for (Word& sign : signs) sign = (random() & 1u) != 0 ? kSign : Word{0};
  Word* words = t.as<Word>();
#pragma omp parallel for
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < d; ++i)
      words[r * d + i] = static_cast<Word>(words[r * d + i] ^ signs[static_cast<std::size_t>(i)]);
}

/// Row r of each head becomes row r + by, round the end.
template <typename Word>
void move_rows(Tensor& t, std::uint64_t by, bool back) {
  const Dims& dims = t.dims();
  const std::int64_t heads = dims.b * dims.h;
#pragma omp parallel for
  for (std::int64_t i = 0; i < heads; ++i) {
    const std::int64_t b = i / dims.h, rows = dims.rows_of(b);
    if (rows < 2) continue;
    Word* first = t.as<Word>() + dims.index(b, i % dims.h, 0, 0);
    const auto n = static_cast<std::int64_t>(by % static_cast<std::uint64_t>(rows));
    std::rotate(first, first + (back ? n : rows - n) * dims.d, first + rows * dims.d);
  }
}

template <typename F>
void with_words(Tensor& t, F&& f) {
  if (t.empty()) return;
  with_dtype(t.dtype(), [&](auto zero) {
    if constexpr (sizeof zero == 4)
      f(std::uint32_t{});
    else if constexpr (sizeof zero == 2)
      f(std::uint16_t{});
    else
      f(std::uint8_t{});
  });
}

void change(Tensor& t, std::uint64_t rows, std::uint64_t columns, bool sign, bool back) {
  with_words(t, [&](auto word) {
    using Word = decltype(word);
    if (sign) negate<Word>(t);
    if (columns != 0) negate_columns<Word>(t, columns);
    if (rows != 0) move_rows<Word>(t, rows, back);
  });
}

/// A number of rows to move by; 0 where one holds what is no number, which only those may hold that
/// nobody sees: hidden keys, the rest of a page.
std::uint64_t rows_to_move(const Tensor& t, std::uint64_t random) {
  const std::int64_t count = t.count();
  bool finite = true;
#pragma omp parallel for reduction(&& : finite)
  for (std::int64_t i = 0; i < count; ++i) finite = finite && std::isfinite(t.at(i));
  return finite ? random : 0;
}

}  // namespace

void ChangingInputs::apply(const Change& c, Way way) {
  const bool back = way == Way::kBack;
  const bool paged = !in_.pages.empty();
  app::change(in_.q, c.q_rows, c.q_columns, false, back);
  app::change(paged ? in_.pages.k : in_.k, c.k_rows, c.k_columns, false, back);
  app::change(paged ? in_.pages.v : in_.v, c.v_rows, 0, c.negate_v, back);
  app::change(in_.d_o, c.do_rows, 0, c.negate_do, back);
}

void ChangingInputs::change() {
  restore();
  const bool paged = !in_.pages.empty();
  now_ = {rows_to_move(in_.q, random_()),
          rows_to_move(paged ? in_.pages.k : in_.k, random_()),
          rows_to_move(paged ? in_.pages.v : in_.v, random_()),
          rows_to_move(in_.d_o, random_()),
          random_(),
          random_(),
          toss(),
          toss()};
  // What is the same in all rows changes by its sign alone: so the first change has it, which is
  // what replays replay.
  if (!before_) now_.negate_v = true;
  before_ = changed_ = true;
  apply(now_, Way::kThere);
}

void ChangingInputs::restore() {
  if (changed_) apply(now_, Way::kBack);
  changed_ = false;
}

}  // namespace flashbench::app
