// The operations for TensorFlow: an engine's forward pass and its gradient, for each unit.
#include "call.h"
#include "gru.h"
#include "gru_reset_before.h"
#include "lstm.h"
#include "parallel.h"
#include "simple_rnn.h"

namespace seq_models {
namespace {

// U (H, G) and U', where gate `first` and the ones after it are wanted.
Matrix columns(const float* U, int64_t H, int64_t G, int64_t first = 0) { return {U + first * H, G, 1}; }
Matrix transposed(const float* U, int64_t H, int64_t G, int64_t first = 0) { return {U + first * H, 1, G}; }

// Inputs 0 … 3 of each forward operation are x, U, h0, keep; those of a gradient are U, h0, keep, h, dh, dh_last.
Sequence forward_sequence(Call& call, const Options& options, int mask, int gates) {
  const auto x = call.shape(0, 3), h0 = call.shape(2, 2);
  const int64_t B = x[0], T = x[1], H = h0[1];
  if (x[2] != gates * H) throw std::invalid_argument("x must have the width of U");
  return {B, T, H, options.backwards, call.in_or_null<bool>(mask, {B, T}), call.in(2, {B, H}),
          call.in_or_null(3, {B, H})};
}
Sequence backward_sequence(Call& call, const Options& options, int mask) {
  const auto h = call.shape(3, 3);
  const int64_t B = h[0], T = h[1], H = h[2];
  return {B, T, H, options.backwards, call.in_or_null<bool>(mask, {B, T}), call.in(1, {B, H}),
          call.in_or_null(2, {B, H})};
}
// The gates of a training, in the place of x where nobody else needs it; null outside of one.
float* gates_in_place(Call& call, const Options& options, int output) {
  const auto x = call.shape(0, 3);
  if (options.training) return call.out_in_place(output, 0, {x[0], x[1], x[2]});
  call.out(output, {0, 0, 0});
  return nullptr;
}

// h of all steps, where it is wanted; null where only the last one is.
float* whole_sequence(Call& call, const Options& options, const Sequence& s) {
  float* h = call.out(0, {s.B, options.whole ? s.T : 0, s.H});
  return options.whole ? h : nullptr;
}

void lstm(Call& call, const Options& options) {
  float* gates = gates_in_place(call, options, 3);
  const Sequence s = forward_sequence(call, options, 6, 4);
  const int64_t B = s.B, T = s.T, H = s.H;
  float* c = call.out(4, {options.training ? B : 0, T, H});
  const LSTM::Packed U(pool(), columns(call.in(1, {H, 4 * H}), H, 4 * H), H, H);
  const LSTM unit{s, U, call.in(0, {B, T, 4 * H}), call.in(4, {4 * H}), call.in(5, {B, H}),
                  whole_sequence(call, options, s), call.out(1, {B, H}), call.out(2, {B, H}),
                  gates, options.training ? c : nullptr};
  for_rows<Forward>(unit, 4 * H);
}

void lstm_gradient(Call& call, const Options& options) {
  const auto h = call.shape(3, 3);
  float* dx = call.out_in_place(0, 8, {h[0], h[1], 4 * h[2]});
  const Sequence s = backward_sequence(call, options, 10);
  const int64_t B = s.B, T = s.T, H = s.H;
  const BackPanels U(pool(), transposed(call.in(0, {H, 4 * H}), H, 4 * H), 4 * H, H);
  const Floats dbias = zeros(B * 4 * H);
  const LSTMGradient unit{s, U, call.in(3, {B, T, H}), call.in(9, {B, T, H}), call.in(7, {B, H}),
                          call.in(8, {B, T, 4 * H}), call.in(4, {B, T, H}), call.in(5, {B, H}),
                          call.in(6, {B, H}), dx, call.out(1, {B, T, H}), call.out(2, {B, H}), call.out(3, {B, H}),
                          dbias.get()};
  for_rows<Backward>(unit, 4 * H);
  sum_rows(dbias.get(), B, 4 * H, call.out(4, {4 * H}));
}

void gru(Call& call, const Options& options) {
  float* gates = gates_in_place(call, options, 2);
  const Sequence s = forward_sequence(call, options, 6, 3);
  const int64_t B = s.B, T = s.T, H = s.H;
  float* a_n = call.out(3, {options.training ? B : 0, T, H});
  const GRU::Packed U(pool(), columns(call.in(1, {H, 3 * H}), H, 3 * H), H, H);
  const GRU unit{{}, s, U, call.in(0, {B, T, 3 * H}), call.in(4, {3 * H}), call.in(5, {3 * H}),
                 whole_sequence(call, options, s), call.out(1, {B, H}), gates, options.training ? a_n : nullptr};
  for_rows<Forward>(unit, 3 * H);
}

void gru_gradient(Call& call, const Options& options) {
  const auto h = call.shape(3, 3);
  float* dx = call.out_in_place(0, 6, {h[0], h[1], 3 * h[2]});
  const Sequence s = backward_sequence(call, options, 8);
  const int64_t B = s.B, T = s.T, H = s.H;
  const BackPanels U(pool(), transposed(call.in(0, {H, 3 * H}), H, 3 * H), 3 * H, H);
  const Floats dbias = zeros(B * 3 * H), drecurrent = zeros(B * 3 * H);
  const GRUGradient unit{s, U, call.in(3, {B, T, H}), call.in(6, {B, T, 3 * H}), call.in(7, {B, T, H}),
                         call.in(4, {B, T, H}), call.in(5, {B, H}), dx, call.out(1, {B, T, 3 * H}),
                         call.out(2, {B, T, H}), call.out(3, {B, H}), dbias.get(), drecurrent.get()};
  for_rows<Backward>(unit, 3 * H);
  sum_rows(dbias.get(), B, 3 * H, call.out(4, {3 * H}));
  sum_rows(drecurrent.get(), B, 3 * H, call.out(5, {3 * H}));
}

void gru_reset_before(Call& call, const Options& options) {
  float* gates = gates_in_place(call, options, 2);
  const Sequence s = forward_sequence(call, options, 5, 3);
  const int64_t B = s.B, T = s.T, H = s.H;
  const float* U = call.in(1, {H, 3 * H});
  const GRUResetBefore::Gates U_zr(pool(), columns(U, H, 3 * H), H, H);
  const GRUResetBefore::Candidate U_n(pool(), columns(U, H, 3 * H, 2), H, H);
  const GRUResetBefore unit{s, U_zr, U_n, call.in(0, {B, T, 3 * H}), call.in(4, {3 * H}),
                            whole_sequence(call, options, s), call.out(1, {B, H}), gates};
  for_rows<Forward>(unit, 3 * H);
}

void gru_reset_before_gradient(Call& call, const Options& options) {
  const auto h = call.shape(3, 3);
  const int64_t B = h[0], T = h[1], H = h[2];
  float* dx = call.out(0, {B, T, 3 * H});  // not in the place of the gates, which are read again after it is written
  const Sequence s = backward_sequence(call, options, 7);
  const float* U = call.in(0, {H, 3 * H});
  const BackPanels U_zr(pool(), transposed(U, H, 3 * H), 2 * H, H), U_n(pool(), transposed(U, H, 3 * H, 2), H, H);
  const Floats dbias = zeros(B * 3 * H);
  const GRUResetBeforeGradient unit{s, U_zr, U_n, call.in(3, {B, T, H}), call.in(6, {B, T, 3 * H}),
                                    call.in(4, {B, T, H}), call.in(5, {B, H}), dx, call.out(1, {B, T, H}),
                                    call.out(2, {B, T, H}), call.out(3, {B, H}), dbias.get()};
  for_rows<Backward>(unit, 3 * H);
  sum_rows(dbias.get(), B, 3 * H, call.out(4, {3 * H}));
}

void simple_rnn(Call& call, const Options& options) {
  const Sequence s = forward_sequence(call, options, 5, 1);
  const int64_t B = s.B, T = s.T, H = s.H;
  const SimpleRNN::Packed U(pool(), columns(call.in(1, {H, H}), H, H), H, H);
  const SimpleRNN unit{{}, s, U, call.in(0, {B, T, H}), call.in(4, {H}), whole_sequence(call, options, s),
                       call.out(1, {B, H})};
  for_rows<Forward>(unit, H);
}

void simple_rnn_gradient(Call& call, const Options& options) {
  const Sequence s = backward_sequence(call, options, 6);
  const int64_t B = s.B, T = s.T, H = s.H;
  const BackPanels U(pool(), transposed(call.in(0, {H, H}), H, H), H, H);
  const Floats dbias = zeros(B * H);
  const SimpleRNNGradient unit{s, U, call.in(3, {B, T, H}), call.in(4, {B, T, H}), call.in(5, {B, H}),
                               call.out(0, {B, T, H}), call.out(1, {B, T, H}), call.out(2, {B, H}), dbias.get()};
  for_rows<Backward>(unit, H);
  sum_rows(dbias.get(), B, H, call.out(3, {H}));
}

// When the library is loaded.
const bool registered = [] {
  const std::initializer_list<const char*> options = {"backwards", "training", "whole"}, backwards = {"backwards"};
  register_operation<lstm>("SeqModelsLSTM", {"x", "u", "h0", "keep", "bias", "c0"},
                           {"h", "h_last", "c_last", "gates", "c"}, options);
  register_operation<lstm_gradient>("SeqModelsLSTMGradient",
                                    {"u", "h0", "keep", "h", "dh", "dh_last", "dc_last", "c0", "gates", "c"},
                                    {"dx", "entered", "dh0", "dc0", "dbias"}, backwards);
  register_operation<gru>("SeqModelsGRU", {"x", "u", "h0", "keep", "bias", "recurrent_bias"},
                          {"h", "h_last", "gates", "a_n"}, options);
  register_operation<gru_gradient>("SeqModelsGRUGradient",
                                   {"u", "h0", "keep", "h", "dh", "dh_last", "gates", "a_n"},
                                   {"dx", "da", "entered", "dh0", "dbias", "drecurrent_bias"}, backwards);
  register_operation<gru_reset_before>("SeqModelsGRUResetBefore", {"x", "u", "h0", "keep", "bias"},
                                       {"h", "h_last", "gates"}, options);
  register_operation<gru_reset_before_gradient>("SeqModelsGRUResetBeforeGradient",
                                                {"u", "h0", "keep", "h", "dh", "dh_last", "gates"},
                                                {"dx", "entered", "reset", "dh0", "dbias"}, backwards);
  register_operation<simple_rnn>("SeqModelsSimpleRNN", {"x", "u", "h0", "keep", "bias"}, {"h", "h_last"}, options);
  register_operation<simple_rnn_gradient>("SeqModelsSimpleRNNGradient", {"u", "h0", "keep", "h", "dh", "dh_last"},
                                          {"dx", "entered", "dh0", "dbias"}, backwards);
  return true;
}();

}  // namespace
}  // namespace seq_models

// How many threads work on a call, the caller among them. To be said once, before the first call.
extern "C" void seq_models_set_threads(int count) { seq_models::threads = std::max(1, count); }
