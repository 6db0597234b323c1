// The simple recurrent unit, see seq_models/layers/simple_rnn.py.
//     h' = tanh(x + h U + b)
#pragma once
#include "recurrence.h"

namespace seq_models {

struct SimpleRNN : OneState {
  using Packed = Panels<1, 4>;
  Sequence s;
  const Packed& U;
  const float *x, *bias;  // (B, T, H), (H)
  float *h, *h_last;      // (B, T, H), (B, H)

  void step(State& state, const std::vector<int64_t>& rows, int64_t t, const Rows&, const Rows& entered,
            const Rows& after, const Member& member) const {
    in_panels<rows_at_once<4>()>(U, rows.size(), member, [&](auto size, int64_t at, int64_t p) {
      block<decltype(size)::value>(state, &rows[at], t, p, entered, after);
    });
  }

  template <int R>
  __attribute__((noinline)) void block(State& state, const int64_t* rows, int64_t t, int64_t p, const Rows& entered,
                                       const Rows& after) const {
    const float* a[R];
    for (int r = 0; r < R; ++r) a[r] = entered[rows[r]];
    Vector sum[R][4];
    product<R, 4>(a, U.panel(p), s.H, sum);
    for (int k = 0; k < 4; ++k) {
      const int64_t j = (p * 4 + k) * V, n = s.H - j;
      if (n <= 0) break;
      for (int r = 0; r < R; ++r) {
        const float* x_t = x + s.read(state.first + rows[r], t) * s.H + j;
        store(after[rows[r]] + j, tanh(sum[r][k] + load(x_t, n) + load(bias + j, n)));
      }
    }
  }
};

//     dx = dh' (1 - h'²)    dh = dx U'
struct SimpleRNNGradient {
  Sequence s;
  const BackPanels& U;
  const float *h, *dh_all, *dh_last;
  float *dx, *entered, *dh0;
  float* dbias;  // (B, H): each row's part

  struct State {
    int64_t first;
    Rows dz;
    State(const SimpleRNNGradient& unit, int64_t first, int64_t count) : first(first), dz(count, unit.s.H) {}
  };

  void derive(State& state, int64_t r, int64_t t, const float*, const float* dh) const {
    const int64_t H = s.H, row = state.first + r;
    const float* h_t = h + s.at(row, t) * H;
    float *dz = state.dz[r], *dx_t = dx + s.read(row, t) * H, *db = dbias + row * H;
    for (int64_t j = 0; j < H; j += V) {
      const int64_t n = H - j;
      const Vector after = load(h_t + j, n), d = load(dh + j) * (1 - after * after);
      store(dz + j, d, n), store(dx_t + j, d, n), store(db + j, load(db + j, n) + d, n);
    }
  }
  void nothing(int64_t row, int64_t t) const { memset(dx + s.read(row, t) * s.H, 0, 4 * s.H); }
  void rest(State& state, const std::vector<int64_t>& rows, const Rows& dh, const Member& member) const {
    back_product(U, rows, state.dz, s.keep ? s.keep + state.first * s.H : nullptr, nullptr, dh, s.H, member);
  }
  void finish(State&, int64_t) const {}
};

}  // namespace seq_models
