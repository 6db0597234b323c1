// How the rows of a batch are shared among threads.
#pragma once
#include <algorithm>

#include "recurrence.h"

namespace seq_models {

inline int threads = 1;  // that work on a call, the caller among them

inline Pool& pool() {
  static Pool* pool = new Pool(threads - 1);  // never deleted: its threads live as long as the process
  return *pool;
}

// Takes all rows through the steps, forward or back. A thread has rows of its own: more parts than threads, so that a
// thread whose core is taken away holds up little, but not so small that a panel is read for one or two rows. Too few rows
// go through the steps with all threads, if U (H, G) is so large that a share of it is worth the waiting.
template <template <class> class Walk, class Unit>
void for_rows(const Unit& unit, int64_t G) {
  constexpr int64_t ENOUGH = 12, LARGE = 1 << 17;
  const int64_t B = unit.s.B;
  if (B < 2 * threads && threads > 1 && unit.s.H * G >= LARGE) {
    Walk<Unit> walk(unit, 0, B);
    Barrier barrier(threads);
    return pool().run(threads, [&](int i) { walk.run({i, threads, &barrier}); });
  }
  const int64_t parts = std::min<int64_t>(B, B < 2 * ENOUGH * threads ? threads : 2 * threads);
  pool().run(static_cast<int>(parts), [&](int i) {
    const int64_t first = B * i / parts;
    Walk<Unit>(unit, first, B * (i + 1) / parts - first).run({});
  });
}

}  // namespace seq_models
