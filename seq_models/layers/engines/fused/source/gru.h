// The gated recurrent unit with the reset after the product, see seq_models/layers/gru.py.
//     a = h U + b'     z = σ(x_z + b_z + a_z)   r = σ(x_r + b_r + a_r)   n = tanh(x_n + b_n + r a_n)
//     h' = z h + (1 - z) n
#pragma once
#include "recurrence.h"

namespace seq_models {

struct GRU : OneState {
  using Packed = Panels<3, 1>;
  Sequence s;
  const Packed& U;
  const float *x, *bias, *recurrent_bias;  // (B, T, 3H), (3H), (3H)
  float *h, *h_last;                       // (B, T, H), (B, H)
  float *gates, *a_n;                      // (B, T, 3H): z, r, n, and (B, T, H); null outside training

  void step(State& state, const std::vector<int64_t>& rows, int64_t t, const Rows& before, const Rows& entered,
            const Rows& after, const Member& member) const {
    in_panels<rows_at_once<3>()>(U, rows.size(), member, [&](auto size, int64_t at, int64_t p) {
      block<decltype(size)::value>(state, &rows[at], t, p, before, entered, after);
    });
  }

  template <int R>
  __attribute__((noinline)) void block(State& state, const int64_t* rows, int64_t t, int64_t p, const Rows& before,
                                       const Rows& entered, const Rows& after) const {
    const int64_t H = s.H, j = p * V, n = H - j;
    const float* a[R];
    for (int r = 0; r < R; ++r) a[r] = entered[rows[r]];
    Vector sum[R][3];
    product<R, 3>(a, U.panel(p), H, sum);
    const float *b = bias + j, *c = recurrent_bias + j;
    for (int r = 0; r < R; ++r) {
      const int64_t row = state.first + rows[r], in = s.read(row, t);
      const float* x_t = x + in * 3 * H + j;
      const Vector z = sigmoid(load(x_t, n) + load(b, n) + (sum[r][0] + load(c, n)));
      const Vector reset = sigmoid(load(x_t + H, n) + load(b + H, n) + (sum[r][1] + load(c + H, n)));
      const Vector product_n = sum[r][2] + load(c + 2 * H, n);
      const Vector candidate = tanh(load(x_t + 2 * H, n) + load(b + 2 * H, n) + reset * product_n);
      store(after[rows[r]] + j, z * load(before[rows[r]] + j) + (1 - z) * candidate);
      if (!gates) continue;
      float* kept = gates + in * 3 * H + j;
      store(kept, z, n), store(kept + H, reset, n), store(kept + 2 * H, candidate, n);
      store(a_n + s.at(row, t) * H + j, product_n, n);
    }
  }
};

//     dn = dh' (1 - z) (1 - n²)     dz = dh' (h - n) z (1 - z)     dr = dn a_n r (1 - r)
//     da = (dz, dr, dn r)           dh = dh' z + da U'
struct GRUGradient {
  Sequence s;
  const BackPanels& U;
  const float *h, *gates, *a_n;            // of the forward pass
  const float *dh_all, *dh_last;
  float *dx, *da, *entered, *dh0;          // (B, T, 3H) twice: of x, and of the product; dx may lie where `gates` lies
  float *dbias, *drecurrent_bias;          // (B, 3H): each row's part

  struct State {
    int64_t first;
    Rows da, carry;
    State(const GRUGradient& unit, int64_t first, int64_t count)
        : first(first), da(count, 3 * unit.s.H), carry(count, unit.s.H) {}
  };

  void derive(State& state, int64_t row_here, int64_t t, const float* before, const float* dh) const {
    const int64_t H = s.H, row = state.first + row_here, in = s.read(row, t), out = s.at(row, t);
    const float *gate = gates + in * 3 * H, *a = a_n + out * H;
    float *dx_t = dx + in * 3 * H, *da_t = da + in * 3 * H, *here = state.da[row_here];
    float *db = dbias + row * 3 * H, *dc = drecurrent_bias + row * 3 * H;
    for (int64_t j = 0; j < H; j += V) {
      const int64_t n = H - j;
      const Vector z = load(gate + j, n), r = load(gate + H + j, n), candidate = load(gate + 2 * H + j, n);
      const Vector d = load(dh + j), dn = d * (1 - z) * (1 - candidate * candidate);
      const Vector dz = d * (load(before + j, n) - candidate) * z * (1 - z), dr = dn * load(a + j, n) * r * (1 - r);
      const Vector of_x[] = {dz, dr, dn}, of_product[] = {dz, dr, dn * r};
      store(state.carry[row_here] + j, d * z);
      for (int k = 0; k < 3; ++k) {
        store(dx_t + k * H + j, of_x[k], n);
        store(da_t + k * H + j, of_product[k], n), store(here + k * H + j, of_product[k], n);
        store(db + k * H + j, load(db + k * H + j, n) + of_x[k], n);
        store(dc + k * H + j, load(dc + k * H + j, n) + of_product[k], n);
      }
    }
  }
  void nothing(int64_t row, int64_t t) const {
    memset(dx + s.read(row, t) * 3 * s.H, 0, 12 * s.H);
    memset(da + s.read(row, t) * 3 * s.H, 0, 12 * s.H);
  }
  void rest(State& state, const std::vector<int64_t>& rows, const Rows& dh, const Member& member) const {
    back_product(U, rows, state.da, s.keep ? s.keep + state.first * s.H : nullptr, &state.carry, dh, s.H, member);
  }
  void finish(State&, int64_t) const {}
};

}  // namespace seq_models
