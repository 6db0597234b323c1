// Takes every unit of the fused kernels through random shapes, forward and back, and prints a sum of all results.
//     fused_sanitizers THREADS
#include <cstdio>
#include <cstdlib>
#include <random>

#include "gru.h"
#include "gru_reset_before.h"
#include "lstm.h"
#include "parallel.h"
#include "simple_rnn.h"
#include "weights.h"

using namespace seq_models;

namespace {

std::mt19937 random_numbers(1);

int64_t between(int64_t least, int64_t most) { return std::uniform_int_distribution<int64_t>(least, most)(random_numbers); }

// Each array is a piece of memory of its own, of just its size, so that a step beside it is seen.
struct Array {
  explicit Array(int64_t count, bool draw = true) : numbers(new float[count]), count(count) {
    std::normal_distribution<float> normal(0, 0.5f);
    for (int64_t i = 0; i < count; ++i) numbers[i] = draw ? normal(random_numbers) : 0.0f;
  }
  operator float*() const { return numbers.get(); }
  void add_to(double& sum) const {
    for (int64_t i = 0; i < count; ++i) sum += numbers[i] * (1 + i % 7);
  }
  std::unique_ptr<float[]> numbers;
  int64_t count;
};
Array result(int64_t count) { return Array(count, false); }

Matrix columns(const float* M, int64_t G, int64_t start = 0) { return {M + start, G, 1}; }
Matrix transposed(const float* M, int64_t G, int64_t start = 0) { return {M + start, 1, G}; }

// What every unit is given, and what its gradient gives.
struct Given {
  Given(const Sequence& s, int64_t gates)
      : s(s), D(between(1, 40)), G(gates * s.H), tokens(s.tokens()), x(s.B * s.T * D), W(D * G), U(s.H * G), bias(G),
        dh(s.B * s.T * s.H), dh_last(s.B * s.H), h(result(s.B * s.T * s.H)), h_last(result(s.B * s.H)),
        dz(result(s.B * s.T * G)), dx(result(s.B * s.T * D)), dW(result(D * G)), dU(result(s.H * G)),
        dh0(result(s.B * s.H)), dbias(result(G)) {}

  template <class Packed>
  Inputs<Packed> inputs(int64_t start = 0) const {
    return Inputs<Packed>(pool(), {x, D}, columns(W, G, start), D, s.H, tokens, s.B < 6);
  }
  void through_W() const {
    const Part part{{dz, G}, G};
    multiply(pool(), tokens, part.dz, BackPanels(pool(), transposed(W, G), G, D), dx, D);
    const Fill fill = [&](int64_t token, int64_t k, int64_t count, float* to) { copy(x + token * D + k, to, count); };
    weight_gradient(pool(), tokens, D, fill, part, dW, G, dbias);
  }
  void add_to(double& sum) const {
    for (const Array* each : {&h, &h_last, &dz, &dx, &dW, &dU, &dh0, &dbias}) each->add_to(sum);
  }
  const Sequence& s;
  const int64_t D, G;
  const std::vector<int64_t> tokens;
  const Array x, W, U, bias, dh, dh_last, h, h_last, dz, dx, dW, dU, dh0, dbias;
};

void run_lstm(const Sequence& s, double& sum) {
  const Given g(s, 4);
  const int64_t B = s.B, H = s.H, G = g.G;
  const Array c0(B * H), dc_last(B * H), c_last = result(B * H), c = result(B * s.T * H), dc0 = result(B * H);
  const auto x = g.inputs<LSTM::Packed>();
  const LSTM::Packed packed(pool(), columns(g.U, G), H, H);
  for_rows<Forward>(LSTM{s, x, packed, g.bias, c0, g.h, g.h_last, c_last, g.dz, c}, G);
  const BackPanels back(pool(), transposed(g.U, G), G, H);
  for_rows<Backward>(LSTMGradient{s, back, g.h, c, c0, g.dh, g.dh_last, dc_last, g.dz, g.dh0, dc0}, G);
  g.through_W();
  gradient_of_U(pool(), s, g.tokens, g.h, {{g.dz, G}, G}, g.dU, G);
  g.add_to(sum);
  for (const Array* each : {&c_last, &dc0}) each->add_to(sum);
}

void run_gru(const Sequence& s, double& sum) {
  const Given g(s, 3);
  const int64_t B = s.B, T = s.T, H = s.H, G = g.G;
  const Array recurrent_bias(G), da_n = result(B * T * H), drecurrent = result(G);
  const auto x = g.inputs<GRU::Packed>();
  const GRU::Packed packed(pool(), columns(g.U, G), H, H);
  for_rows<Forward>(GRU{{}, s, x, packed, g.bias, recurrent_bias, g.h, g.h_last, g.dz, da_n}, G);
  const BackPanels back(pool(), transposed(g.U, G), G, H);
  for_rows<Backward>(GRUGradient{s, back, g.h, g.dh, g.dh_last, g.dz, da_n, g.dh0}, G);
  g.through_W();
  gradient_of_U(pool(), s, g.tokens, g.h, {{g.dz, G}, 2 * H}, g.dU, G, drecurrent);
  gradient_of_U(pool(), s, g.tokens, g.h, {{da_n, H}, H}, g.dU + 2 * H, G, drecurrent + 2 * H);
  g.add_to(sum);
  drecurrent.add_to(sum);
}

void run_gru_reset_before(const Sequence& s, double& sum) {
  const Given g(s, 3);
  const int64_t H = s.H, G = g.G;
  const Array reset = result(s.B * s.T * H);
  const auto x_zr = g.inputs<GRUResetBefore::Gates>();
  const auto x_n = g.inputs<GRUResetBefore::Candidate>(2 * H);
  const GRUResetBefore::Gates U_zr(pool(), columns(g.U, G), H, H);
  const GRUResetBefore::Candidate U_n(pool(), columns(g.U, G, 2 * H), H, H);
  for_rows<Forward>(GRUResetBefore{s, x_zr, x_n, U_zr, U_n, g.bias, g.h, g.h_last, g.dz}, G);
  const BackPanels back_zr(pool(), transposed(g.U, G), 2 * H, H), back_n(pool(), transposed(g.U, G, 2 * H), H, H);
  for_rows<Backward>(GRUResetBeforeGradient{s, back_zr, back_n, g.h, g.dh, g.dh_last, g.dz, reset, g.dh0}, G);
  g.through_W();
  gradient_of_U(pool(), s, g.tokens, g.h, {{g.dz, G}, 2 * H}, g.dU, G);
  g.add_to(sum);
  reset.add_to(sum);
}

void run_simple_rnn(const Sequence& s, double& sum) {
  const Given g(s, 1);
  const auto x = g.inputs<SimpleRNN::Packed>();
  const SimpleRNN::Packed packed(pool(), columns(g.U, s.H), s.H, s.H);
  for_rows<Forward>(SimpleRNN{{}, s, x, packed, g.bias, g.h, g.h_last}, s.H);
  const BackPanels back(pool(), transposed(g.U, s.H), s.H, s.H);
  for_rows<Backward>(SimpleRNNGradient{s, back, g.h, g.dh, g.dh_last, g.dz, g.dh0}, s.H);
  g.through_W();
  gradient_of_U(pool(), s, g.tokens, g.h, {{g.dz, s.H}, s.H}, g.dU, s.H);
  g.add_to(sum);
}

}  // namespace

int main(int, char** arguments) {
  threads = atoi(arguments[1]);
  double sum = 0;
  for (int round = 0; round < 25; ++round) {
    const bool few = round % 5 == 0;  // rows that all threads take through the steps
    const int64_t B = few ? between(1, 2) : between(1, 40), T = between(1, 6), H = few ? between(365, 380) : between(1, 70);
    const Array h0(B * H), keep(B * H);
    const std::unique_ptr<bool[]> mask(new bool[B * T]);
    for (int64_t i = 0; i < B * T; ++i) mask[i] = between(0, 3) > 0;
    const Sequence s{B, T, H, round % 2 == 1, round % 3 ? mask.get() : nullptr, h0, round % 4 ? nullptr : (float*)keep};
    for (auto* run : {run_lstm, run_gru, run_gru_reset_before, run_simple_rnn}) run(s, sum);
  }
  printf("%.17g\n", sum);
}
