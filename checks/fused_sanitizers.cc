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

Matrix columns(const float* U, int64_t G, int64_t start = 0) { return {U + start, G, 1}; }
Matrix transposed(const float* U, int64_t G, int64_t start = 0) { return {U + start, 1, G}; }

void run_lstm(const Sequence& s, double& sum) {
  const int64_t B = s.B, T = s.T, H = s.H, G = 4 * H;
  const Array x(B * T * G), U(H * G), bias(G), c0(B * H), dh(B * T * H), dh_last(B * H), dc_last(B * H);
  const Array h = result(B * T * H), h_last = result(B * H), c_last = result(B * H), gates = result(B * T * G);
  const Array c = result(B * T * H), entered = result(B * T * H), dh0 = result(B * H), dc0 = result(B * H);
  const Array dbias = result(B * G), total = result(G);
  const LSTM::Packed packed(pool(), columns(U, G), H, H);
  for_rows<Forward>(LSTM{s, packed, x, bias, c0, h, h_last, c_last, gates, c}, G);
  const BackPanels back(pool(), transposed(U, G), G, H);
  for_rows<Backward>(LSTMGradient{s, back, h, c, c0, gates, dh, dh_last, dc_last, gates, entered, dh0, dc0, dbias}, G);
  sum_rows(dbias, B, G, total);
  for (const Array* each : {&h, &h_last, &c_last, &gates, &entered, &dh0, &dc0, &total}) each->add_to(sum);
}

void run_gru(const Sequence& s, double& sum) {
  const int64_t B = s.B, T = s.T, H = s.H, G = 3 * H;
  const Array x(B * T * G), U(H * G), bias(G), recurrent_bias(G), dh(B * T * H), dh_last(B * H);
  const Array h = result(B * T * H), h_last = result(B * H), gates = result(B * T * G), a_n = result(B * T * H);
  const Array da = result(B * T * G), entered = result(B * T * H), dh0 = result(B * H), dbias = result(B * G);
  const Array drecurrent = result(B * G);
  const GRU::Packed packed(pool(), columns(U, G), H, H);
  for_rows<Forward>(GRU{{}, s, packed, x, bias, recurrent_bias, h, h_last, gates, a_n}, G);
  const BackPanels back(pool(), transposed(U, G), G, H);
  const GRUGradient gradient{s, back, h, gates, a_n, dh, dh_last, gates, da, entered, dh0, dbias, drecurrent};
  for_rows<Backward>(gradient, G);
  for (const Array* each : {&h, &h_last, &gates, &da, &entered, &dh0, &dbias, &drecurrent}) each->add_to(sum);
}

void run_gru_reset_before(const Sequence& s, double& sum) {
  const int64_t B = s.B, T = s.T, H = s.H, G = 3 * H;
  const Array x(B * T * G), U(H * G), bias(G), dh(B * T * H), dh_last(B * H);
  const Array h = result(B * T * H), h_last = result(B * H), gates = result(B * T * G), dx = result(B * T * G);
  const Array entered = result(B * T * H), reset = result(B * T * H), dh0 = result(B * H), dbias = result(B * G);
  const GRUResetBefore::Gates U_zr(pool(), columns(U, G), H, H);
  const GRUResetBefore::Candidate U_n(pool(), columns(U, G, 2 * H), H, H);
  for_rows<Forward>(GRUResetBefore{s, U_zr, U_n, x, bias, h, h_last, gates}, G);
  const BackPanels back_zr(pool(), transposed(U, G), 2 * H, H), back_n(pool(), transposed(U, G, 2 * H), H, H);
  const GRUResetBeforeGradient gradient{s, back_zr, back_n, h, gates, dh, dh_last, dx, entered, reset, dh0, dbias};
  for_rows<Backward>(gradient, G);
  for (const Array* each : {&h, &h_last, &gates, &dx, &entered, &reset, &dh0, &dbias}) each->add_to(sum);
}

void run_simple_rnn(const Sequence& s, double& sum) {
  const int64_t B = s.B, T = s.T, H = s.H;
  const Array x(B * T * H), U(H * H), bias(H), dh(B * T * H), dh_last(B * H);
  const Array h = result(B * T * H), h_last = result(B * H), dx = result(B * T * H), entered = result(B * T * H);
  const Array dh0 = result(B * H), dbias = result(B * H);
  const SimpleRNN::Packed packed(pool(), columns(U, H), H, H);
  for_rows<Forward>(SimpleRNN{{}, s, packed, x, bias, h, h_last}, H);
  const BackPanels back(pool(), transposed(U, H), H, H);
  for_rows<Backward>(SimpleRNNGradient{s, back, h, dh, dh_last, dx, entered, dh0, dbias}, H);
  for (const Array* each : {&h, &h_last, &dx, &entered, &dh0, &dbias}) each->add_to(sum);
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
