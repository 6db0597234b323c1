// The gradients of weights: products over all tokens.
#pragma once
#include <functional>

#include "parallel.h"

namespace seq_models {

// A tile of tokens: rows of a and of dz, and what they add to the rows of `sums`.
constexpr int64_t TILE = 256, ROWS = 256, COLUMNS = 4 * V;
constexpr int64_t DOWN = ROWS + 16;  // so that the rows of a tile do not share a place of the cache
inline void add_tile(const float* a, const float* dz, int64_t tokens, int64_t rows, float* sums) {
  in_blocks<rows_at_once<4>()>(rows, [&](auto size, int64_t first) {
    constexpr int R = decltype(size)::value;
    const float* down[R];
    Vector sum[R][4];
    float* before = sums + first * COLUMNS;
    for (int r = 0; r < R; ++r) {
      down[r] = a + first + r;
      for (int n = 0; n < 4; ++n) sum[r][n] = load(before + r * COLUMNS + n * V);
    }
    product<R, 4>(down, dz, tokens, sum, DOWN);
    for (int r = 0; r < R; ++r)
      for (int n = 0; n < 4; ++n) store(before + r * COLUMNS + n * V, sum[r][n]);
  });
}

// out[k][j] = Σ a[token][k] dz[token][j] for K rows of `out`, and sums[j] = Σ dz[token][j] where it is wanted (not null).
// `fill` writes `count` numbers of a[token] from number k on. A part of the work is some rows and columns of `out`; each
// goes through the tokens in their order, so that no bit depends on the parts.
using Fill = std::function<void(int64_t token, int64_t k, int64_t count, float* to)>;
inline void weight_gradient(const std::vector<int64_t>& tokens, int64_t K, const Fill& fill, Part dz, float* out,
                            int64_t width, float* sums) {
  const int64_t panels = (dz.numbers + COLUMNS - 1) / COLUMNS, chunks = (K + ROWS - 1) / ROWS;
  const int64_t groups = std::min((2 * threads + chunks - 1) / chunks, panels);
  pool().run(static_cast<int>(groups * chunks), [&](int part) {
    const int64_t first = panels * (part % groups) / groups, last = panels * (part % groups + 1) / groups;
    const int64_t k = part / groups * ROWS, rows = std::min(ROWS, K - k), size = (rows + 1) * COLUMNS;
    const Floats a = floats(TILE * DOWN), b = zeros(TILE * COLUMNS), total = zeros((last - first) * size);
    const auto wide = [&](int64_t p) { return std::min(COLUMNS, dz.numbers - p * COLUMNS); };
    for (size_t start = 0; start < tokens.size(); start += TILE) {
      const int64_t count = std::min<int64_t>(TILE, tokens.size() - start);
      for (int64_t i = 0; i < count; ++i) fill(tokens[start + i], k, rows, a.get() + i * DOWN);
      for (int64_t p = first; p < last; ++p) {
        float *of_panel = total.get() + (p - first) * size, *of_tokens = of_panel + rows * COLUMNS;
        for (int64_t i = 0; i < count; ++i) copy(dz.dz.row(tokens[start + i]) + p * COLUMNS, &b[i * COLUMNS], wide(p));
        add_tile(a.get(), b.get(), count, rows, of_panel);
        for (int64_t i = 0; sums && k == 0 && i < count; ++i)
          for (int64_t n = 0; n < COLUMNS; ++n) of_tokens[n] += b[i * COLUMNS + n];
      }
    }
    for (int64_t p = first; p < last; ++p) {
      const float* of_panel = total.get() + (p - first) * size;
      for (int64_t r = 0; r < rows; ++r) copy(of_panel + r * COLUMNS, out + (k + r) * width + p * COLUMNS, wide(p));
      if (sums && k == 0) copy(of_panel + rows * COLUMNS, sums + p * COLUMNS, wide(p));
    }
  });
}

// The gradient of U, or of some columns of it, from those of what it gave.
inline void gradient_of_U(const Sequence& s, const std::vector<int64_t>& tokens, const float* h, Part dz,
                          float* dU, int64_t width, float* sums = nullptr) {
  const auto entered = [&](int64_t token, int64_t j, int64_t count, float* to) {
    s.entered(h, s.row(token), s.step(token), j, count, to);
  };
  weight_gradient(tokens, s.H, entered, dz, dU, width, sums);
}

}  // namespace seq_models
