// The long short-term memory, see seq_models/layers/lstm.py.
//     i = σ(x_i + h U_i + b_i)   f = σ(x_f + h U_f + b_f)   g = tanh(x_g + h U_g + b_g)   o = σ(x_o + h U_o + b_o)
//     c' = f c + i g             h' = o tanh(c')
#pragma once
#include "recurrence.h"

namespace seq_models {

struct LSTM {
  using Packed = Panels<4, 1>;
  Sequence s;
  const Inputs<Packed>& x;            // W x
  const Packed& U;
  const float *bias, *c0;             // (4H), (B, H)
  float *h, *h_last, *c_last;         // (B, T, H), (B, H), (B, H)
  float *gates, *c;                   // (B, T, 4H): i, f, g, o, and (B, T, H): c'; null outside training

  struct State {
    int64_t first;
    Rows c;
    State(const LSTM& unit, int64_t first, int64_t count) : first(first), c(count, unit.s.H) {
      for (int64_t r = 0; r < count; ++r) copy(unit.c0 + (first + r) * unit.s.H, c[r], unit.s.H);
    }
  };

  void step(State& state, const std::vector<int64_t>& rows, int64_t t, const Rows&, const Rows& entered,
            const Rows& after, const Member& member) const {
    in_panels<rows_at_once<4>()>(U, rows.size(), member, [&](auto size, int64_t at, int64_t p) {
      block<decltype(size)::value>(state, &rows[at], t, p, entered, after);
    });
  }

  template <int R>
  __attribute__((noinline)) void block(State& state, const int64_t* rows, int64_t t, int64_t p, const Rows& entered,
                                       const Rows& after) const {
    const int64_t H = s.H, j = p * V, n = H - j;
    const float* h_t[R];
    int64_t token[R];
    Vector sum[R][4] = {};
    for (int r = 0; r < R; ++r) h_t[r] = entered[rows[r]], token[r] = s.read(state.first + rows[r], t);
    x.add(token, p, sum);
    for (int gate = 0; gate < 4; ++gate) add_to_all(load(bias + gate * H + j, n), gate, sum);
    product<R, 4>(h_t, U.panel(p), H, sum);
    for (int r = 0; r < R; ++r) {
      const Vector i = sigmoid(sum[r][0]), f = sigmoid(sum[r][1]), g = tanh(sum[r][2]), o = sigmoid(sum[r][3]);
      const Vector c_t = f * load(state.c[rows[r]] + j) + i * g;
      store(state.c[rows[r]] + j, c_t);
      store(after[rows[r]] + j, o * tanh(c_t));
      if (!gates) continue;
      // Where x is read backwards, so are the gates: their gradients, which take their place, meet x in a product.
      float* kept = gates + token[r] * 4 * H + j;
      store(kept, i, n), store(kept + H, f, n), store(kept + 2 * H, g, n), store(kept + 3 * H, o, n);
      store(c + s.at(state.first + rows[r], t) * H + j, c_t, n);
    }
  }

  void hold(State& state, int64_t r, int64_t t) const {
    if (c) copy(state.c[r], c + s.at(state.first + r, t) * s.H, s.H);
  }
  void finish(State& state, int64_t r) const { copy(state.c[r], c_last + (state.first + r) * s.H, s.H); }
};

//     dc = dc' + dh' o (1 - tanh²c')
//     di = dc g i (1 - i)   df = dc c f (1 - f)   dg = dc i (1 - g²)   do = dh' tanh(c') o (1 - o)
//     dh = (di, df, dg, do) U'                    dc = dc f
struct LSTMGradient {
  Sequence s;
  const BackPanels& U;
  const float *h, *c, *c0;                 // of the forward pass
  const float *dh_all, *dh_last, *dc_last;
  float* dz;                               // (B, T, 4H): i, f, g, o of the forward pass, then their gradients
  float *dh0, *dc0;

  struct State {
    int64_t first;
    Rows dc;
    State(const LSTMGradient& unit, int64_t first, int64_t count) : first(first), dc(count, unit.s.H) {
      for (int64_t r = 0; r < count; ++r) copy(unit.dc_last + (first + r) * unit.s.H, dc[r], unit.s.H);
    }
  };

  void derive(State& state, int64_t r, int64_t t, const float*, const float* dh) const {
    const int64_t H = s.H, row = state.first + r;
    const float *c_t = c + s.at(row, t) * H, *c_before = t ? c + s.at(row, t - 1) * H : c0 + row * H;
    float *dc = state.dc[r], *gate = dz + s.read(row, t) * 4 * H;
    for (int64_t j = 0; j < H; j += V) {
      const int64_t n = H - j;
      const Vector i = load(gate + j, n), f = load(gate + H + j, n), g = load(gate + 2 * H + j, n);
      const Vector o = load(gate + 3 * H + j, n), squashed = tanh(load(c_t + j, n)), d = load(dh + j);
      const Vector e = load(dc + j) + d * o * (1 - squashed * squashed);
      store(dc + j, e * f);
      store(gate + j, e * g * i * (1 - i), n);
      store(gate + H + j, e * load(c_before + j, n) * f * (1 - f), n);
      store(gate + 2 * H + j, e * i * (1 - g * g), n);
      store(gate + 3 * H + j, d * squashed * o * (1 - o), n);
    }
  }
  void nothing(int64_t row, int64_t t) const { memset(dz + s.read(row, t) * 4 * s.H, 0, 16 * s.H); }
  void rest(State& state, const std::vector<int64_t>& rows, int64_t t, const Rows& dh, const Member& member) const {
    const std::array<Part, 1> parts = {{{{dz, 4 * s.H}, 4 * s.H}}};
    back_product(U, s, parts, state.first, rows, t, s.keep, nullptr, dh, member);
  }
  void finish(State& state, int64_t r) const { copy(state.dc[r], dc0 + (state.first + r) * s.H, s.H); }
};

}  // namespace seq_models
