// What enters a unit from outside: W x.
#pragma once
#include <vector>

#include "product.h"

namespace seq_models {

// A matrix whose rows are those of tokens (B * T of them), or some columns of one.
struct Tokens {
  const float* start;
  int64_t width;  // from a row to the next
  const float* row(int64_t token) const { return start + token * width; }
};

// out[token] = a[token] M for the given tokens; M (K, columns) in panels.
template <int GATES, int WIDE>
void multiply(Pool& pool, const std::vector<int64_t>& tokens, Tokens a, const Panels<GATES, WIDE>& M, float* out,
              int64_t width) {
  constexpr int N = GATES * WIDE;
  constexpr int64_t TILE = 48;
  const int64_t count = tokens.size();
  pool.run(static_cast<int>((count + TILE - 1) / TILE), [&](int tile) {
    const int64_t start = tile * TILE;
    for (int64_t p = 0; p < M.count(); ++p)
      in_blocks<rows_at_once<N>()>(std::min(TILE, count - start), [&](auto size, int64_t at) {
        constexpr int R = decltype(size)::value;
        const int64_t* block = &tokens[start + at];
        const float* rows[R];
        for (int r = 0; r < R; ++r) rows[r] = a.row(block[r]);
        Vector sum[R][N] = {};
        product<R, N>(rows, M.panel(p), M.rows(), sum);
        M.each(p, [&](int n, int64_t column, int64_t left) {
          for (int r = 0; r < R; ++r) store(out + block[r] * width + column, sum[r][n], left);
        });
      });
  });
}

// x (B, T, D) and W, or, where few rows would make each step a product of a matrix with a vector, W x of all steps.
template <class Packed>
class Inputs {
 public:
  Inputs(Pool& pool, Tokens x, Matrix W, int64_t D, int64_t H, const std::vector<int64_t>& tokens, bool few)
      : W_(pool, W, D, H), x_(x) {
    if (!few) return;
    const int64_t width = Packed::GATES * H;
    projected_ = floats((tokens.empty() ? 0 : tokens.back() + 1) * width);
    multiply(pool, tokens, x, W_, projected_.get(), width);
    x_ = {projected_.get(), width};
  }

  // Adds W x of some tokens to their sums, for the units of panel p.
  template <int R, int SUMS>
  INLINE_METHOD void add(const int64_t (&tokens)[R], int64_t p, Vector (&sum)[R][SUMS]) const {
    const float* rows[R];
    for (int r = 0; r < R; ++r) rows[r] = x_.row(tokens[r]);
    if (!projected_) return (void)product<R, Packed::VECTORS>(rows, W_.panel(p), W_.rows(), sum);
    for (int r = 0; r < R; ++r)
      W_.each(p, [&](int n, int64_t column, int64_t left) { sum[r][n] += load(rows[r] + column, left); });
  }

 private:
  const Packed W_;
  Tokens x_;
  Floats projected_;
};

}  // namespace seq_models
