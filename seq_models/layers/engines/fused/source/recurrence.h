// A recurrence over time for some rows of a batch: rows never meet, so a thread takes its rows through all steps.
#pragma once
#include <array>
#include <vector>

#include "inputs.h"

namespace seq_models {

INLINE void copy(const float* from, float* to, int64_t count) { memcpy(to, from, 4 * count); }

// to = from * keep, H numbers; without dropout a copy.
INLINE void dropped(const float* from, const float* keep, float* to, int64_t H) {
  if (!keep) return copy(from, to, H);
  for (int64_t j = 0; j < H; ++j) to[j] = from[j] * keep[j];
}

// What all units share. B rows, T steps, H units; batch-major.
struct Sequence {
  int64_t B, T, H;
  bool backwards;     // x and mask are read from the last step to the first; all else is in the order of reading
  const bool* mask;   // (B, T), true on real tokens; null: all are real
  const float* h0;    // (B, H)
  const float* keep;  // (B, H), the dropout of h where it enters a product; null: nothing is dropped

  int64_t read(int64_t row, int64_t t) const { return row * T + (backwards ? T - 1 - t : t); }
  int64_t at(int64_t row, int64_t t) const { return row * T + t; }
  int64_t row(int64_t token) const { return token / T; }
  int64_t step(int64_t token) const { return backwards ? T - 1 - token % T : token % T; }
  bool live(int64_t row, int64_t t) const { return !mask || mask[read(row, t)]; }
  // h before a step, of h after all steps.
  const float* before(const float* h, int64_t row, int64_t t) const { return t ? h + at(row, t - 1) * H : h0 + row * H; }
  // `count` numbers of it, from number j on, as they entered the product.
  void entered(const float* h, int64_t row, int64_t t, int64_t j, int64_t count, float* to) const {
    dropped(before(h, row, t) + j, keep ? keep + row * H + j : nullptr, to, count);
  }
  // The real tokens as they lie in x.
  std::vector<int64_t> tokens() const {
    std::vector<int64_t> tokens;
    for (int64_t token = 0; token < B * T; ++token)
      if (!mask || mask[token]) tokens.push_back(token);
    return tokens;
  }
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

// Some rows on their way through all steps. `Unit` has, beside a `Sequence s` and outputs `h` (B, T, H; null: only the last
// is wanted) and `h_last` (B, H):
//   State                                            what it keeps of its rows beside h; made of (unit, first, count)
//   step(state, rows, t, h, entered, after, member)  fills a member's share of `after` for the given rows, from h and
//                                                    what of it enters the product
//   hold(state, row, t)                              notes that a row stays as it is
//   finish(state, row)                               hands out the last state
template <class Unit>
class Forward {
 public:
  Forward(const Unit& unit, int64_t first, int64_t count)
      : unit_(unit), first_(first), count_(count), state_(unit, first, count), h_(count, unit.s.H),
        after_(count, unit.s.H), kept_(unit.s.keep ? count : 0, unit.s.H) {
    for (int64_t r = 0; r < count; ++r) copy(unit.s.h0 + (first + r) * unit.s.H, h_[r], unit.s.H);
  }

  void run(const Member& member) {
    const int64_t T = unit_.s.T;
    for (int64_t t = 0; t < T; ++t) {
      if (member.leads()) begin(t);
      member.wait();
      unit_.step(state_, live_, t, h_, unit_.s.keep ? kept_ : h_, after_, member);
      member.wait();
      if (member.leads()) end(t);
    }
    if (member.leads()) finish();
  }

 private:
  void begin(int64_t t) {
    const Sequence& s = unit_.s;
    live_.clear();
    for (int64_t r = 0; r < count_; ++r) {
      if (s.live(first_ + r, t)) {
        live_.push_back(r);
        if (s.keep) dropped(h_[r], s.keep + (first_ + r) * s.H, kept_[r], s.H);
      } else {
        copy(h_[r], after_[r], s.H);
        unit_.hold(state_, r, t);
      }
    }
  }
  void end(int64_t t) {
    h_.swap(after_);
    if (!unit_.h) return;
    for (int64_t r = 0; r < count_; ++r) copy(h_[r], unit_.h + unit_.s.at(first_ + r, t) * unit_.s.H, unit_.s.H);
  }
  void finish() {
    for (int64_t r = 0; r < count_; ++r) {
      copy(h_[r], unit_.h_last + (first_ + r) * unit_.s.H, unit_.s.H);
      unit_.finish(state_, r);
    }
  }

  const Unit& unit_;
  const int64_t first_, count_;
  typename Unit::State state_;
  Rows h_, after_, kept_;
  std::vector<int64_t> live_;
};

// A unit whose only state is h.
struct OneState {
  struct State {
    int64_t first;
    State(const OneState&, int64_t first, int64_t) : first(first) {}
  };
  void hold(State&, int64_t, int64_t) const {}
  void finish(State&, int64_t) const {}
};

// Some rows on their way back. `Unit` has a `Sequence s`, the h of all steps `h`, upstream gradients `dh_all` (B, T, H)
// and `dh_last` (B, H), the output `dh0` (B, H), and
//   State                            what it keeps of its rows beside dh
//   derive(state, r, t, before, dh)  the gradients of a row's step before its activations
//   nothing(row, t)                  the same where a row stays as it is: zeros
//   rest(state, rows, t, dh, member) a member's share of dh before the step, of the given rows
//   finish(state, row)               hands out the gradients of the first states
template <class Unit>
class Backward {
 public:
  Backward(const Unit& unit, int64_t first, int64_t count)
      : unit_(unit), first_(first), count_(count), state_(unit, first, count), dh_(count, unit.s.H) {
    for (int64_t r = 0; r < count; ++r) copy(unit.dh_last + (first + r) * unit.s.H, dh_[r], unit.s.H);
  }

  void run(const Member& member) {
    for (int64_t t = unit_.s.T - 1; t >= 0; --t) {
      if (member.leads()) derive(t);
      member.wait();
      unit_.rest(state_, live_, t, dh_, member);
      member.wait();
    }
    if (member.leads()) finish();
  }

 private:
  void derive(int64_t t) {
    const Sequence& s = unit_.s;
    live_.clear();
    for (int64_t r = 0; r < count_; ++r) {
      const int64_t row = first_ + r;
      for (int64_t j = 0; j < s.H; ++j) dh_[r][j] += unit_.dh_all[s.at(row, t) * s.H + j];
      if (s.live(row, t)) {
        live_.push_back(r);
        unit_.derive(state_, r, t, s.before(unit_.h, row, t), dh_[r]);
      } else {
        unit_.nothing(row, t);
      }
    }
  }
  void finish() {
    for (int64_t r = 0; r < count_; ++r) {
      copy(dh_[r], unit_.dh0 + (first_ + r) * unit_.s.H, unit_.s.H);
      unit_.finish(state_, r);
    }
  }

  const Unit& unit_;
  const int64_t first_, count_;
  typename Unit::State state_;
  Rows dh_;
  std::vector<int64_t> live_;
};

// dh = (dz U') * keep, + what `carry` holds of each row (null: nothing), for the given rows of step t; dz are the numbers
// that some tokens have in one or more places. Panels of U' have 4 vectors.
using BackPanels = Panels<1, 4>;
struct Part {
  Tokens dz;
  int64_t numbers;
};
template <size_t PARTS>
void back_product(const BackPanels& panels, const Sequence& s, const std::array<Part, PARTS>& parts, int64_t first,
                  const std::vector<int64_t>& rows, int64_t t, const float* keep, const Rows* carry, const Rows& dh,
                  const Member& member) {
  in_panels<rows_at_once<4>()>(panels, rows.size(), member, [&](auto size, int64_t at, int64_t p) {
    constexpr int R = decltype(size)::value;
    Vector sum[R][4] = {};
    const float* panel = panels.panel(p);
    for (const Part& part : parts) {
      const float* dz[R];
      for (int r = 0; r < R; ++r) dz[r] = part.dz.row(s.read(first + rows[at + r], t));
      product<R, 4>(dz, panel, part.numbers, sum);
      panel += part.numbers * 4 * V;
    }
    for (int r = 0; r < R; ++r)
      panels.each(p, [&](int n, int64_t j, int64_t left) {
        Vector d = sum[r][n];
        if (keep) d *= load(keep + (first + rows[at + r]) * s.H + j, left);
        if (carry) d += load((*carry)[rows[at + r]] + j);
        store(dh[rows[at + r]] + j, d);
      });
  });
}

}  // namespace seq_models
