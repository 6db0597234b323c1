// A recurrence over time for some rows of a batch: rows never meet, so a thread takes its rows through all steps.
#pragma once
#include <vector>

#include "product.h"

namespace seq_models {

// What all units share. B rows, T steps, H units; batch-major.
struct Sequence {
  int64_t B, T, H;
  bool backwards;     // x and mask are read from the last step to the first; all else is in the order of reading
  const bool* mask;   // (B, T), true on real tokens; null: all are real
  const float* h0;    // (B, H)
  const float* keep;  // (B, H), the dropout of h where it enters a product; null: nothing is dropped

  int64_t read(int64_t row, int64_t t) const { return row * T + (backwards ? T - 1 - t : t); }
  int64_t at(int64_t row, int64_t t) const { return row * T + t; }
  bool live(int64_t row, int64_t t) const { return !mask || mask[read(row, t)]; }
};

// Some numbers for each of a thread's rows, with room for whole panels behind the last unit.
class Rows {
 public:
  Rows(int64_t count, int64_t numbers) : stride_((numbers + 8 * V) / V * V + V), numbers_(zeros(count * stride_)) {}
  float* operator[](int64_t row) const { return numbers_.get() + row * stride_; }
  void swap(Rows& other) { std::swap(numbers_, other.numbers_); }

 private:
  int64_t stride_;
  Floats numbers_;
};

INLINE void copy(const float* from, float* to, int64_t count) { memcpy(to, from, 4 * count); }

// to = from * keep, H numbers; without dropout a copy.
INLINE void dropped(const float* from, const float* keep, float* to, int64_t H) {
  if (!keep) return copy(from, to, H);
  for (int64_t j = 0; j < H; ++j) to[j] = from[j] * keep[j];
}

// Takes rows first … last - 1 through all steps. `Unit` has, beside a `Sequence s` and outputs `h` (B, T, H) and
// `h_last` (B, H):
//   State                                    what it keeps of its rows beside h; made of (unit, first, count)
//   step(state, rows, t, h, entered, after)  fills `after` for the given rows, from h and what of it enters the product
//   hold(state, row, t)                      notes that a row stays as it is
//   finish(state, row)                       hands out the last state
template <class Unit>
void over_time(const Unit& unit, int64_t first, int64_t last) {
  const Sequence& s = unit.s;
  const int64_t count = last - first, H = s.H;
  typename Unit::State state(unit, first, count);
  Rows h(count, H), after(count, H), kept(s.keep ? count : 0, H);
  std::vector<int64_t> live;
  for (int64_t r = 0; r < count; ++r) copy(s.h0 + (first + r) * H, h[r], H);
  for (int64_t t = 0; t < s.T; ++t) {
    live.clear();
    for (int64_t r = 0; r < count; ++r) {
      if (s.live(first + r, t)) {
        live.push_back(r);
        if (s.keep) dropped(h[r], s.keep + (first + r) * H, kept[r], H);
      } else {
        copy(h[r], after[r], H);
        unit.hold(state, r, t);
      }
    }
    unit.step(state, live, t, h, s.keep ? kept : h, after);
    h.swap(after);
    for (int64_t r = 0; r < count; ++r) copy(h[r], unit.h + s.at(first + r, t) * H, H);
  }
  for (int64_t r = 0; r < count; ++r) {
    copy(h[r], unit.h_last + (first + r) * H, H);
    unit.finish(state, r);
  }
}

// A unit whose only state is h.
struct OneState {
  struct State {
    int64_t first;
    State(const OneState&, int64_t first, int64_t) : first(first) {}
  };
  void hold(State&, int64_t, int64_t) const {}
  void finish(State&, int64_t) const {}
};

// The way back. `Unit` has a `Sequence s`, the h of all steps `h`, upstream gradients `dh_all` (B, T, H) and
// `dh_last` (B, H), outputs `dx` (B, T, G), `entered` (B, T, H: what of h entered the product of each step) and
// `dh0` (B, H), and
//   State                                    what it keeps of its rows beside dh
//   derive(state, r, t, before, dh)          the gradients of a row's step: dx, and what its product needs
//   nothing(row, t)                          the same where a row stays as it is: zeros
//   rest(state, rows, dh)                    dh before the step, of the given rows
//   finish(state, row)                       hands out the gradients of the first states
template <class Unit>
void back_in_time(const Unit& unit, int64_t first, int64_t last) {
  const Sequence& s = unit.s;
  const int64_t count = last - first, H = s.H;
  typename Unit::State state(unit, first, count);
  Rows dh(count, H);
  std::vector<int64_t> live;
  for (int64_t r = 0; r < count; ++r) copy(unit.dh_last + (first + r) * H, dh[r], H);
  for (int64_t t = s.T - 1; t >= 0; --t) {
    live.clear();
    for (int64_t r = 0; r < count; ++r) {
      const int64_t row = first + r;
      const float* before = t ? unit.h + s.at(row, t - 1) * H : s.h0 + row * H;
      for (int64_t j = 0; j < H; ++j) dh[r][j] += unit.dh_all[s.at(row, t) * H + j];
      // in the order of reading x, as dx is: their product is the gradient of U
      dropped(before, s.keep ? s.keep + row * H : nullptr, unit.entered + s.read(row, t) * H, H);
      if (s.live(row, t)) {
        live.push_back(r);
        unit.derive(state, r, t, before, dh[r]);
      } else {
        unit.nothing(row, t);
      }
    }
    unit.rest(state, live, dh);
  }
  for (int64_t r = 0; r < count; ++r) {
    copy(dh[r], unit.dh0 + (first + r) * H, H);
    unit.finish(state, r);
  }
}

// dh = (dz U') * keep, + what `carry` holds of each row (null: nothing), for the given rows. Panels of U' have 4 vectors.
using BackPanels = Panels<1, 4>;
inline void back_product(const BackPanels& panels, const std::vector<int64_t>& rows, const Rows& dz, const float* keep,
                         const Rows* carry, const Rows& dh, int64_t H) {
  in_panels<rows_at_once<4>()>(panels, rows.size(), [&](auto size, int64_t at, int64_t p) {
    constexpr int R = decltype(size)::value;
    const float* a[R];
    for (int r = 0; r < R; ++r) a[r] = dz[rows[at + r]];
    Vector sum[R][4];
    product<R, 4>(a, panels.panel(p), panels.rows(), sum);
    for (int r = 0; r < R; ++r)
      for (int n = 0; n < 4; ++n) {
        const int64_t j = (p * 4 + n) * V;
        if (j >= H) break;
        Vector d = sum[r][n];
        if (keep) d *= load(keep + rows[at + r] * H + j, H - j);
        if (carry) d += load((*carry)[rows[at + r]] + j);
        store(dh[rows[at + r]] + j, d);
      }
  });
}

}  // namespace seq_models
