// The operations for TensorFlow: an engine's forward pass and its gradient, for each unit.
#include "call.h"
#include "gru.h"
#include "gru_reset_before.h"
#include "lstm.h"
#include "parallel.h"
#include "simple_rnn.h"
#include "weights.h"

namespace seq_models {
namespace {

// A matrix (K, G) and its transpose, where gate `first` of width H and the ones after it are wanted.
Matrix columns(const float* M, int64_t G, int64_t first = 0, int64_t H = 0) { return {M + first * H, G, 1}; }
Matrix transposed(const float* M, int64_t G, int64_t first = 0, int64_t H = 0) { return {M + first * H, 1, G}; }

// What every operation takes first: x (B, T, D), W (D, G), U (H, G), h0 (B, H), keep; the mask is the last input.
struct Given {
  Given(Call& call, const Options& options, int gates, int mask) {
    const auto x_shape = call.shape(0, 3), U_shape = call.shape(2, 2);
    const int64_t B = x_shape[0], T = x_shape[1], H = U_shape[0];
    D = x_shape[2], G = gates * H;
    x = {call.in(0, {B, T, D}), D}, W = call.in(1, {D, G}), U = call.in(2, {H, G});
    s = {B, T, H, options.backwards, call.in_or_null<bool>(mask, {B, T}), call.in(3, {B, H}),
         call.in_or_null(4, {B, H})};
    tokens = s.tokens();
  }
  // W x, of some gates.
  template <class Packed>
  Inputs<Packed> inputs(int64_t first = 0) const {
    const bool few = s.B < 3 * threads;
    return Inputs<Packed>(pool(), x, columns(W, G, first, s.H), D, s.H, tokens, few);
  }
  Sequence s;
  int64_t D, G;
  Tokens x;
  const float *W, *U;
  std::vector<int64_t> tokens;  // the real ones
};

// The outputs of a gradient that every operation gives, from dz (B, T, G), output 0: dx, dW, dU as outputs 1 … 3, and the
// gradient of the bias.
struct Wanted {
  float *dx, *dW, *dU, *dh0;
  Wanted(Call& call, const Given& given)
      : dx(call.out(1, {given.s.B, given.s.T, given.D})), dW(call.out(2, {given.D, given.G})),
        dU(call.out(3, {given.s.H, given.G})), dh0(call.out(4, {given.s.B, given.s.H})) {}
  void through_W(const Given& given, const float* dz, float* dbias) const {
    const Part part{{dz, given.G}, given.G};
    if (given.tokens.size() < static_cast<size_t>(given.s.B * given.s.T))
      std::fill(dx, dx + given.s.B * given.s.T * given.D, 0.0f);
    multiply(pool(), given.tokens, part.dz, BackPanels(pool(), transposed(given.W, given.G), given.G, given.D), dx, given.D);
    const auto x = [&](int64_t token, int64_t j, int64_t count, float* to) { copy(given.x.row(token) + j, to, count); };
    weight_gradient(pool(), given.tokens, given.D, x, part, dW, given.G, dbias);
  }
};

// h of all steps, where it is wanted; null where only the last one is.
float* whole_sequence(Call& call, const Options& options, const Sequence& s) {
  float* h = call.out(0, {s.B, options.whole ? s.T : 0, s.H});
  return options.whole ? h : nullptr;
}
// What only a gradient needs, (B, T, numbers); null outside of a training.
float* kept(Call& call, const Options& options, int output, const Sequence& s, int64_t numbers) {
  float* kept = call.out(output, {options.training ? s.B : 0, s.T, numbers});
  return options.training ? kept : nullptr;
}
// An output in the place of an input (B, T, numbers) whose numbers it starts from.
float* changed(Call& call, int output, int input, int numbers_a_unit) {
  const auto h = call.shape(5, 3);
  const std::initializer_list<int64_t> shape = {h[0], h[1], numbers_a_unit * h[2]};
  float* out = call.out_in_place(output, input, shape);
  const float* in = call.in(input, shape);
  if (in != out) copy(in, out, h[0] * h[1] * numbers_a_unit * h[2]);
  return out;
}

void lstm(Call& call, const Options& options) {
  const Given given(call, options, 4, 7);
  const Sequence& s = given.s;
  const int64_t B = s.B, H = s.H;
  const auto x = given.inputs<LSTM::Packed>();
  const LSTM::Packed U(pool(), columns(given.U, given.G), H, H);
  const LSTM unit{s, x, U, call.in(5, {4 * H}), call.in(6, {B, H}), whole_sequence(call, options, s),
                  call.out(1, {B, H}), call.out(2, {B, H}), kept(call, options, 3, s, 4 * H), kept(call, options, 4, s, H)};
  for_rows<Forward>(unit, given.G);
}

void lstm_gradient(Call& call, const Options& options) {
  float* dz = changed(call, 0, 10, 4);
  const Given given(call, options, 4, 12);
  const Wanted wanted(call, given);
  const Sequence& s = given.s;
  const int64_t B = s.B, T = s.T, H = s.H;
  const float* h = call.in(5, {B, T, H});
  const BackPanels U(pool(), transposed(given.U, given.G), given.G, H);
  const LSTMGradient unit{s, U, h, call.in(11, {B, T, H}), call.in(9, {B, H}), call.in(6, {B, T, H}),
                          call.in(7, {B, H}), call.in(8, {B, H}), dz, wanted.dh0, call.out(5, {B, H})};
  for_rows<Backward>(unit, given.G);
  wanted.through_W(given, dz, call.out(6, {given.G}));
  gradient_of_U(pool(), s, given.tokens, h, {{dz, given.G}, given.G}, wanted.dU, given.G);
}

void gru(Call& call, const Options& options) {
  const Given given(call, options, 3, 7);
  const Sequence& s = given.s;
  const int64_t B = s.B, H = s.H;
  const auto x = given.inputs<GRU::Packed>();
  const GRU::Packed U(pool(), columns(given.U, given.G), H, H);
  const GRU unit{{}, s, x, U, call.in(5, {3 * H}), call.in(6, {3 * H}), whole_sequence(call, options, s),
                 call.out(1, {B, H}), kept(call, options, 2, s, 3 * H), kept(call, options, 3, s, H)};
  for_rows<Forward>(unit, given.G);
}

void gru_gradient(Call& call, const Options& options) {
  float *dz = changed(call, 0, 8, 3), *da_n = changed(call, 7, 9, 1);
  const Given given(call, options, 3, 10);
  const Wanted wanted(call, given);
  const Sequence& s = given.s;
  const int64_t B = s.B, T = s.T, H = s.H, G = given.G;
  const float* h = call.in(5, {B, T, H});
  const BackPanels U(pool(), transposed(given.U, G), G, H);
  const GRUGradient unit{s, U, h, call.in(6, {B, T, H}), call.in(7, {B, H}), dz, da_n, wanted.dh0};
  for_rows<Backward>(unit, G);
  float *dbias = call.out(5, {G}), *drecurrent_bias = call.out(6, {G});
  wanted.through_W(given, dz, dbias);
  gradient_of_U(pool(), s, given.tokens, h, {{dz, G}, 2 * H}, wanted.dU, G, drecurrent_bias);
  gradient_of_U(pool(), s, given.tokens, h, {{da_n, H}, H}, wanted.dU + 2 * H, G, drecurrent_bias + 2 * H);
}

void gru_reset_before(Call& call, const Options& options) {
  const Given given(call, options, 3, 6);
  const Sequence& s = given.s;
  const int64_t B = s.B, H = s.H;
  const auto x_zr = given.inputs<GRUResetBefore::Gates>();
  const auto x_n = given.inputs<GRUResetBefore::Candidate>(2);
  const GRUResetBefore::Gates U_zr(pool(), columns(given.U, given.G), H, H);
  const GRUResetBefore::Candidate U_n(pool(), columns(given.U, given.G, 2, H), H, H);
  const GRUResetBefore unit{s, x_zr, x_n, U_zr, U_n, call.in(5, {3 * H}), whole_sequence(call, options, s),
                            call.out(1, {B, H}), kept(call, options, 2, s, 3 * H)};
  for_rows<Forward>(unit, given.G);
}

void gru_reset_before_gradient(Call& call, const Options& options) {
  float* dz = changed(call, 0, 8, 3);
  const Given given(call, options, 3, 9);
  const Wanted wanted(call, given);
  const Sequence& s = given.s;
  const int64_t B = s.B, T = s.T, H = s.H, G = given.G;
  const float* h = call.in(5, {B, T, H});
  const Floats reset = floats(B * T * H);
  const BackPanels U_zr(pool(), transposed(given.U, G), 2 * H, H), U_n(pool(), transposed(given.U, G, 2, H), H, H);
  const GRUResetBeforeGradient unit{s, U_zr, U_n, h, call.in(6, {B, T, H}), call.in(7, {B, H}), dz, reset.get(),
                                    wanted.dh0};
  for_rows<Backward>(unit, G);
  wanted.through_W(given, dz, call.out(5, {G}));
  gradient_of_U(pool(), s, given.tokens, h, {{dz, G}, 2 * H}, wanted.dU, G);
  const auto entered = [&](int64_t token, int64_t j, int64_t count, float* to) {
    copy(reset.get() + token * H + j, to, count);
  };
  weight_gradient(pool(), given.tokens, H, entered, {{dz + 2 * H, G}, H}, wanted.dU + 2 * H, G, nullptr);
}

void simple_rnn(Call& call, const Options& options) {
  const Given given(call, options, 1, 6);
  const Sequence& s = given.s;
  const auto x = given.inputs<SimpleRNN::Packed>();
  const SimpleRNN::Packed U(pool(), columns(given.U, s.H), s.H, s.H);
  const SimpleRNN unit{{}, s, x, U, call.in(5, {s.H}), whole_sequence(call, options, s), call.out(1, {s.B, s.H})};
  for_rows<Forward>(unit, s.H);
}

void simple_rnn_gradient(Call& call, const Options& options) {
  const Given given(call, options, 1, 8);
  const Sequence& s = given.s;
  const int64_t B = s.B, T = s.T, H = s.H;
  float* dz = call.out(0, {B, T, H});
  const Wanted wanted(call, given);
  const float* h = call.in(5, {B, T, H});
  const BackPanels U(pool(), transposed(given.U, H), H, H);
  const SimpleRNNGradient unit{s, U, h, call.in(6, {B, T, H}), call.in(7, {B, H}), dz, wanted.dh0};
  for_rows<Backward>(unit, H);
  wanted.through_W(given, dz, call.out(5, {H}));
  gradient_of_U(pool(), s, given.tokens, h, {{dz, H}, H}, wanted.dU, H);
}

// When the library is loaded.
const bool registered = [] {
  const std::initializer_list<const char*> options = {"backwards", "training", "whole"}, backwards = {"backwards"};
  // Inputs and outputs that all units have; what only some have comes after them.
  register_operation<lstm>("SeqModelsLSTM", {"x", "w", "u", "h0", "keep", "bias", "c0"},
                           {"h", "h_last", "c_last", "gates", "c"}, options);
  register_operation<lstm_gradient>(
      "SeqModelsLSTMGradient",
      {"x", "w", "u", "h0", "keep", "h", "dh", "dh_last", "dc_last", "c0", "gates", "c"},
      {"dz", "dx", "dw", "du", "dh0", "dc0", "dbias"}, backwards);
  register_operation<gru>("SeqModelsGRU", {"x", "w", "u", "h0", "keep", "bias", "recurrent_bias"},
                          {"h", "h_last", "gates", "a_n"}, options);
  register_operation<gru_gradient>("SeqModelsGRUGradient",
                                   {"x", "w", "u", "h0", "keep", "h", "dh", "dh_last", "gates", "a_n"},
                                   {"dz", "dx", "dw", "du", "dh0", "dbias", "drecurrent_bias", "da_n"}, backwards);
  register_operation<gru_reset_before>("SeqModelsGRUResetBefore", {"x", "w", "u", "h0", "keep", "bias"},
                                       {"h", "h_last", "gates"}, options);
  register_operation<gru_reset_before_gradient>("SeqModelsGRUResetBeforeGradient",
                                                {"x", "w", "u", "h0", "keep", "h", "dh", "dh_last", "gates"},
                                                {"dz", "dx", "dw", "du", "dh0", "dbias"}, backwards);
  register_operation<simple_rnn>("SeqModelsSimpleRNN", {"x", "w", "u", "h0", "keep", "bias"}, {"h", "h_last"}, options);
  register_operation<simple_rnn_gradient>("SeqModelsSimpleRNNGradient",
                                          {"x", "w", "u", "h0", "keep", "h", "dh", "dh_last"},
                                          {"dz", "dx", "dw", "du", "dh0", "dbias"}, backwards);
  return true;
}();

}  // namespace
}  // namespace seq_models

// How many threads work on a call, the caller among them. To be said once, before the first call.
extern "C" void seq_models_set_threads(int count) { seq_models::threads = std::max(1, count); }
