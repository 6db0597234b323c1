// The gated recurrent unit with the reset before the product, see seq_models/layers/gru.py.
//     z = σ(x_z + b_z + h U_z)   r = σ(x_r + b_r + h U_r)   n = tanh(x_n + b_n + (r h) U_n)   h' = z h + (1 - z) n
#pragma once
#include "recurrence.h"

namespace seq_models {

struct GRUResetBefore {
  using Gates = Panels<2, 2>;
  using Candidate = Panels<1, 4>;
  Sequence s;
  const Gates& U_zr;
  const Candidate& U_n;
  const float *x, *bias;  // (B, T, 3H), (3H)
  float *h, *h_last;      // (B, T, H), (B, H)
  float* gates;           // (B, T, 3H): z, r, n; null outside training

  struct State {
    int64_t first;
    Rows z, reset;  // reset: r h
    State(const GRUResetBefore& unit, int64_t first, int64_t count)
        : first(first), z(count, unit.s.H), reset(count, unit.s.H) {}
  };

  void step(State& state, const std::vector<int64_t>& rows, int64_t t, const Rows& before, const Rows& entered,
            const Rows& after, const Member& member) const {
    constexpr int MOST = rows_at_once<4>();
    in_panels<MOST>(U_zr, rows.size(), member, [&](auto size, int64_t at, int64_t p) {
      gate_block<decltype(size)::value>(state, &rows[at], t, p, entered);
    });
    member.wait();  // the product with U_n takes all of r h
    in_panels<MOST>(U_n, rows.size(), member, [&](auto size, int64_t at, int64_t p) {
      candidate_block<decltype(size)::value>(state, &rows[at], t, p, before, after);
    });
  }

  template <int R>
  __attribute__((noinline)) void gate_block(State& state, const int64_t* rows, int64_t t, int64_t p,
                                            const Rows& entered) const {
    const float* a[R];
    for (int r = 0; r < R; ++r) a[r] = entered[rows[r]];
    Vector sum[R][4];
    product<R, 4>(a, U_zr.panel(p), s.H, sum);
    for (int k = 0; k < 2; ++k) {
      const int64_t H = s.H, j = (p * 2 + k) * V, n = H - j;
      if (n <= 0) break;
      for (int r = 0; r < R; ++r) {
        const int64_t in = s.read(state.first + rows[r], t);
        const float *x_t = x + in * 3 * H + j, *b = bias + j;
        const Vector z = sigmoid(sum[r][k] + load(x_t, n) + load(b, n));
        const Vector reset = sigmoid(sum[r][2 + k] + load(x_t + H, n) + load(b + H, n));
        store(state.z[rows[r]] + j, z);
        store(state.reset[rows[r]] + j, reset * load(entered[rows[r]] + j));
        if (gates) store(gates + in * 3 * H + j, z, n), store(gates + in * 3 * H + H + j, reset, n);
      }
    }
  }

  template <int R>
  __attribute__((noinline)) void candidate_block(State& state, const int64_t* rows, int64_t t, int64_t p,
                                                 const Rows& before, const Rows& after) const {
    const float* a[R];
    for (int r = 0; r < R; ++r) a[r] = state.reset[rows[r]];
    Vector sum[R][4];
    product<R, 4>(a, U_n.panel(p), s.H, sum);
    for (int k = 0; k < 4; ++k) {
      const int64_t H = s.H, j = (p * 4 + k) * V, n = H - j;
      if (n <= 0) break;
      for (int r = 0; r < R; ++r) {
        const int64_t in = s.read(state.first + rows[r], t);
        const Vector candidate = tanh(sum[r][k] + load(x + in * 3 * H + 2 * H + j, n) + load(bias + 2 * H + j, n));
        const Vector z = load(state.z[rows[r]] + j);
        store(after[rows[r]] + j, z * load(before[rows[r]] + j) + (1 - z) * candidate);
        if (gates) store(gates + in * 3 * H + 2 * H + j, candidate, n);
      }
    }
  }
  void hold(State&, int64_t, int64_t) const {}
  void finish(State&, int64_t) const {}
};

//     dn = dh' (1 - z) (1 - n²)   d(r h) = dn U_n'   dz = dh' (h - n) z (1 - z)   dr = d(r h) h r (1 - r)
//     dh = dh' z + d(r h) r + (dz, dr) U_zr'
struct GRUResetBeforeGradient {
  Sequence s;
  const BackPanels &U_zr, &U_n;
  const float *h, *gates;             // of the forward pass
  const float *dh_all, *dh_last;
  float *dx, *entered, *reset, *dh0;  // reset (B, T, H): r h, what entered the product with U_n
  float* dbias;                       // (B, 3H): each row's part

  struct State {
    int64_t first, t = 0;
    Rows dzr, dn, dreset, carry;
    State(const GRUResetBeforeGradient& unit, int64_t first, int64_t count)
        : first(first), dzr(count, 2 * unit.s.H), dn(count, unit.s.H), dreset(count, unit.s.H), carry(count, unit.s.H) {}
  };

  void derive(State& state, int64_t row_here, int64_t t, const float* before, const float* dh) const {
    const int64_t H = s.H, row = state.first + row_here, in = s.read(row, t);
    const float* gate = gates + in * 3 * H;
    state.t = t;
    for (int64_t j = 0; j < H; j += V) {
      const int64_t n = H - j;
      const Vector z = load(gate + j, n), r = load(gate + H + j, n), candidate = load(gate + 2 * H + j, n);
      const Vector d = load(dh + j);
      store(state.dn[row_here] + j, d * (1 - z) * (1 - candidate * candidate), n);
      store(state.dzr[row_here] + j, d * (load(before + j, n) - candidate) * z * (1 - z), n);
      store(state.carry[row_here] + j, d * z);
      store(reset + in * H + j, r * load(entered + in * H + j, n), n);
    }
  }
  void nothing(int64_t row, int64_t t) const {
    memset(dx + s.read(row, t) * 3 * s.H, 0, 12 * s.H);
    memset(reset + s.read(row, t) * s.H, 0, 4 * s.H);
  }
  void rest(State& state, const std::vector<int64_t>& rows, const Rows& dh, const Member& member) const {
    const float* keep = s.keep ? s.keep + state.first * s.H : nullptr;
    back_product(U_n, rows, state.dn, nullptr, nullptr, state.dreset, s.H, member);
    member.wait();
    if (member.leads())
      for (int64_t r : rows) through_reset(state, r, keep);
    member.wait();
    back_product(U_zr, rows, state.dzr, keep, &state.carry, dh, s.H, member);
  }
  void through_reset(State& state, int64_t row_here, const float* keep) const {
    const int64_t H = s.H, row = state.first + row_here, in = s.read(row, state.t);
    float *dx_t = dx + in * 3 * H, *db = dbias + row * 3 * H;
    for (int64_t j = 0; j < H; j += V) {
      const int64_t n = H - j;
      const Vector r = load(gates + in * 3 * H + H + j, n), d = load(state.dreset[row_here] + j);
      const Vector dr = d * load(entered + in * H + j, n) * r * (1 - r);
      Vector through = d * r;
      if (keep) through *= load(keep + row_here * H + j, n);
      store(state.carry[row_here] + j, load(state.carry[row_here] + j) + through);
      store(state.dzr[row_here] + H + j, dr, n);
      const Vector of_x[] = {load(state.dzr[row_here] + j, n), dr, load(state.dn[row_here] + j, n)};
      for (int k = 0; k < 3; ++k) {
        store(dx_t + k * H + j, of_x[k], n);
        store(db + k * H + j, load(db + k * H + j, n) + of_x[k], n);
      }
    }
  }
  void finish(State&, int64_t) const {}
};

}  // namespace seq_models
