// The simple recurrent unit, see seq_models/layers/simple_rnn.py.
//     h' = tanh(x + h U + b)
#pragma once
#include "recurrence.h"

namespace seq_models {

struct SimpleRNN : OneState {
  using Packed = Panels<1, 4>;
  Sequence s;
  const Inputs<Packed>& x;  // W x
  const Packed& U;
  const float* bias;        // (H)
  float *h, *h_last;        // (B, T, H), (B, H)

  void step(State& state, const std::vector<int64_t>& rows, int64_t t, const Rows&, const Rows& entered,
            const Rows& after, const Member& member) const {
    in_panels<rows_at_once<4>()>(U, rows.size(), member, [&](auto size, int64_t at, int64_t p) {
      block<decltype(size)::value>(state, &rows[at], t, p, entered, after);
    });
  }

  template <int R>
  __attribute__((noinline)) void block(State& state, const int64_t* rows, int64_t t, int64_t p, const Rows& entered,
                                       const Rows& after) const {
    const float* h_t[R];
    int64_t token[R];
    Vector sum[R][4] = {};
    for (int r = 0; r < R; ++r) h_t[r] = entered[rows[r]], token[r] = s.read(state.first + rows[r], t);
    x.add(token, p, sum);
    product<R, 4>(h_t, U.panel(p), s.H, sum);
    U.each(p, [&](int k, int64_t j, int64_t n) {
      for (int r = 0; r < R; ++r) store(after[rows[r]] + j, tanh(sum[r][k] + load(bias + j, n)));
    });
  }
};

//     dz = dh' (1 - h'²)    dh = dz U'
struct SimpleRNNGradient {
  Sequence s;
  const BackPanels& U;
  const float *h, *dh_all, *dh_last;
  float *dz, *dh0;  // (B, T, H), (B, H)

  struct State {
    int64_t first;
    State(const SimpleRNNGradient&, int64_t first, int64_t) : first(first) {}
  };

  void derive(State& state, int64_t r, int64_t t, const float*, const float* dh) const {
    const int64_t H = s.H, row = state.first + r;
    const float* h_t = h + s.at(row, t) * H;
    float* dz_t = dz + s.read(row, t) * H;
    for (int64_t j = 0; j < H; j += V) {
      const Vector after = load(h_t + j, H - j);
      store(dz_t + j, load(dh + j) * (1 - after * after), H - j);
    }
  }
  void nothing(int64_t row, int64_t t) const { memset(dz + s.read(row, t) * s.H, 0, 4 * s.H); }
  void rest(State& state, const std::vector<int64_t>& rows, int64_t t, const Rows& dh, const Member& member) const {
    const std::array<Part, 1> parts = {{{{dz, s.H}, s.H}}};
    back_product(U, s, parts, state.first, rows, t, s.keep, nullptr, dh, member);
  }
  void finish(State&, int64_t) const {}
};

}  // namespace seq_models
