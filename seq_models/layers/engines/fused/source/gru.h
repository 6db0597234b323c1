// The gated recurrent unit with the reset after the product, see seq_models/layers/gru.py.
//     a = h U + b'     z = σ(x_z + b_z + a_z)   r = σ(x_r + b_r + a_r)   n = tanh(x_n + b_n + r a_n)
//     h' = z h + (1 - z) n
#pragma once
#include "recurrence.h"

namespace seq_models {

struct GRU : OneState {
  using Packed = Panels<3, 1>;
  Sequence s;
  const Inputs<Packed>& x;           // W x
  const Packed& U;
  const float *bias, *recurrent_bias;  // (3H) twice
  float *h, *h_last;                 // (B, T, H), (B, H)
  float *gates, *a_n;                // (B, T, 3H): z, r, n, and (B, T, H); null outside training

  void step(State& state, const std::vector<int64_t>& rows, int64_t t, const Rows& before, const Rows& entered,
            const Rows& after, const Member& member) const {
    in_panels<rows_at_once<4>()>(U, rows.size(), member, [&](auto size, int64_t at, int64_t p) {
      block<decltype(size)::value>(state, &rows[at], t, p, before, entered, after);
    });
  }

  template <int R>
  __attribute__((noinline)) void block(State& state, const int64_t* rows, int64_t t, int64_t p, const Rows& before,
                                       const Rows& entered, const Rows& after) const {
    const int64_t H = s.H, j = p * V, n = H - j;
    const float *b = bias + j, *c = recurrent_bias + j, *h_t[R];
    int64_t token[R];
    Vector sum[R][4] = {};  // z, r, x_n + b_n, a_n
    for (int r = 0; r < R; ++r) h_t[r] = entered[rows[r]], token[r] = s.read(state.first + rows[r], t);
    x.add(token, p, sum);
    for (int gate = 0; gate < 3; ++gate) {
      add_to_all(load(b + gate * H, n), gate, sum);
      add_to_all(load(c + gate * H, n), gate < 2 ? gate : 3, sum);
    }
    product<R, 3, 3>(h_t, U.panel(p), H, sum);
    for (int r = 0; r < R; ++r) {
      const Vector z = sigmoid(sum[r][0]), reset = sigmoid(sum[r][1]), candidate = tanh(sum[r][2] + reset * sum[r][3]);
      store(after[rows[r]] + j, z * load(before[rows[r]] + j) + (1 - z) * candidate);
      if (!gates) continue;
      float* kept = gates + token[r] * 3 * H + j;
      store(kept, z, n), store(kept + H, reset, n), store(kept + 2 * H, candidate, n);
      store(a_n + token[r] * H + j, sum[r][3], n);
    }
  }
};

//     dn = dh' (1 - z) (1 - n²)     dz = dh' (h - n) z (1 - z)     dr = dn a_n r (1 - r)
//     da = (dz, dr, dn r)           dh = dh' z + da U'
struct GRUGradient {
  Sequence s;
  const BackPanels& U;
  const float* h;                // of the forward pass
  const float *dh_all, *dh_last;
  float *dz, *da_n;              // (B, T, 3H): z, r, n of the forward pass, then dz, dr, dn; (B, T, H): a_n, then dn r
  float* dh0;

  struct State {
    int64_t first;
    Rows carry;
    State(const GRUGradient& unit, int64_t first, int64_t count) : first(first), carry(count, unit.s.H) {}
  };

  void derive(State& state, int64_t r, int64_t t, const float* before, const float* dh) const {
    const int64_t H = s.H, token = s.read(state.first + r, t);
    float *gate = dz + token * 3 * H, *a = da_n + token * H;
    for (int64_t j = 0; j < H; j += V) {
      const int64_t n = H - j;
      const Vector z = load(gate + j, n), reset = load(gate + H + j, n), candidate = load(gate + 2 * H + j, n);
      const Vector d = load(dh + j), dn = d * (1 - z) * (1 - candidate * candidate);
      store(state.carry[r] + j, d * z);
      store(gate + j, d * (load(before + j, n) - candidate) * z * (1 - z), n);
      store(gate + H + j, dn * load(a + j, n) * reset * (1 - reset), n);
      store(gate + 2 * H + j, dn, n);
      store(a + j, dn * reset, n);
    }
  }
  void nothing(int64_t row, int64_t t) const {
    memset(dz + s.read(row, t) * 3 * s.H, 0, 12 * s.H);
    memset(da_n + s.read(row, t) * s.H, 0, 4 * s.H);
  }
  void rest(State& state, const std::vector<int64_t>& rows, int64_t t, const Rows& dh, const Member& member) const {
    const std::array<Part, 2> da = {{{{dz, 3 * s.H}, 2 * s.H}, {{da_n, s.H}, s.H}}};
    back_product(U, s, da, state.first, rows, t, s.keep, &state.carry, dh, member);
  }
  void finish(State&, int64_t) const {}
};

}  // namespace seq_models
