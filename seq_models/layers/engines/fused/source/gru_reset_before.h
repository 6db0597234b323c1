// The gated recurrent unit with the reset before the product, see seq_models/layers/gru.py.
//     z = σ(x_z + b_z + h U_z)   r = σ(x_r + b_r + h U_r)   n = tanh(x_n + b_n + (r h) U_n)   h' = z h + (1 - z) n
#pragma once
#include "recurrence.h"

namespace seq_models {

struct GRUResetBefore {
  using Gates = Panels<2, 2>;
  using Candidate = Panels<1, 4>;
  Sequence s;
  const Inputs<Gates>& x_zr;     // W x
  const Inputs<Candidate>& x_n;
  const Gates& U_zr;
  const Candidate& U_n;
  const float* bias;      // (3H)
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
    const float* h_t[R];
    int64_t token[R];
    Vector sum[R][4] = {};
    for (int r = 0; r < R; ++r) h_t[r] = entered[rows[r]], token[r] = s.read(state.first + rows[r], t);
    x_zr.add(token, p, sum);
    product<R, 4>(h_t, U_zr.panel(p), s.H, sum);
    U_zr.each(p, [&](int k, int64_t column, int64_t n) {
      if (k >= 2) return;  // of r, which is taken with z
      const int64_t H = s.H, j = column;
      for (int r = 0; r < R; ++r) {
        const Vector z = sigmoid(sum[r][k] + load(bias + j, n));
        const Vector reset = sigmoid(sum[r][2 + k] + load(bias + H + j, n));
        store(state.z[rows[r]] + j, z);
        store(state.reset[rows[r]] + j, reset * load(entered[rows[r]] + j));
        if (gates) store(gates + token[r] * 3 * H + j, z, n), store(gates + token[r] * 3 * H + H + j, reset, n);
      }
    });
  }

  template <int R>
  __attribute__((noinline)) void candidate_block(State& state, const int64_t* rows, int64_t t, int64_t p,
                                                 const Rows& before, const Rows& after) const {
    const float* reset[R];
    int64_t token[R];
    Vector sum[R][4] = {};
    for (int r = 0; r < R; ++r) reset[r] = state.reset[rows[r]], token[r] = s.read(state.first + rows[r], t);
    x_n.add(token, p, sum);
    product<R, 4>(reset, U_n.panel(p), s.H, sum);
    U_n.each(p, [&](int k, int64_t j, int64_t n) {
      for (int r = 0; r < R; ++r) {
        const Vector candidate = tanh(sum[r][k] + load(bias + 2 * s.H + j, n)), z = load(state.z[rows[r]] + j);
        store(after[rows[r]] + j, z * load(before[rows[r]] + j) + (1 - z) * candidate);
        if (gates) store(gates + token[r] * 3 * s.H + 2 * s.H + j, candidate, n);
      }
    });
  }
  void hold(State&, int64_t, int64_t) const {}
  void finish(State&, int64_t) const {}
};

//     dn = dh' (1 - z) (1 - n²)   d(r h) = dn U_n'   dz = dh' (h - n) z (1 - z)   dr = d(r h) h r (1 - r)
//     dh = dh' z + d(r h) r + (dz, dr) U_zr'
struct GRUResetBeforeGradient {
  Sequence s;
  const BackPanels &U_zr, &U_n;
  const float* h;                 // of the forward pass
  const float *dh_all, *dh_last;
  float *dz, *reset;              // (B, T, 3H): z, r, n of the forward pass, then dz, dr, dn; (B, T, H): r h
  float* dh0;

  struct State {
    int64_t first;
    Rows h, dreset, carry;  // h: what of it entered the product
    State(const GRUResetBeforeGradient& unit, int64_t first, int64_t count)
        : first(first), h(count, unit.s.H), dreset(count, unit.s.H), carry(count, unit.s.H) {}
  };

  // The gate r keeps its place until d(r h) is known.
  void derive(State& state, int64_t r, int64_t t, const float* before, const float* dh) const {
    const int64_t H = s.H, row = state.first + r, token = s.read(row, t);
    float* gate = dz + token * 3 * H;
    s.entered(h, row, t, 0, H, state.h[r]);
    for (int64_t j = 0; j < H; j += V) {
      const int64_t n = H - j;
      const Vector z = load(gate + j, n), candidate = load(gate + 2 * H + j, n), d = load(dh + j);
      store(reset + token * H + j, load(gate + H + j, n) * load(state.h[r] + j), n);
      store(state.carry[r] + j, d * z);
      store(gate + j, d * (load(before + j, n) - candidate) * z * (1 - z), n);
      store(gate + 2 * H + j, d * (1 - z) * (1 - candidate * candidate), n);
    }
  }
  void nothing(int64_t row, int64_t t) const {
    memset(dz + s.read(row, t) * 3 * s.H, 0, 12 * s.H);
    memset(reset + s.read(row, t) * s.H, 0, 4 * s.H);
  }
  void rest(State& state, const std::vector<int64_t>& rows, int64_t t, const Rows& dh, const Member& member) const {
    const std::array<Part, 1> dn = {{{{dz + 2 * s.H, 3 * s.H}, s.H}}}, dzr = {{{{dz, 3 * s.H}, 2 * s.H}}};
    back_product(U_n, s, dn, state.first, rows, t, nullptr, nullptr, state.dreset, member);
    member.wait();
    if (member.leads())
      for (int64_t r : rows) through_reset(state, r, t);
    member.wait();
    back_product(U_zr, s, dzr, state.first, rows, t, s.keep, &state.carry, dh, member);
  }
  void through_reset(State& state, int64_t r, int64_t t) const {
    const int64_t H = s.H, row = state.first + r;
    float* gate = dz + s.read(row, t) * 3 * H + H;
    for (int64_t j = 0; j < H; j += V) {
      const int64_t n = H - j;
      const Vector of_r = load(gate + j, n), d = load(state.dreset[r] + j);
      Vector through = d * of_r;
      if (s.keep) through *= load(s.keep + row * H + j, n);
      store(state.carry[r] + j, load(state.carry[r] + j) + through);
      store(gate + j, d * load(state.h[r] + j) * of_r * (1 - of_r), n);
    }
  }
  void finish(State&, int64_t) const {}
};

}  // namespace seq_models
