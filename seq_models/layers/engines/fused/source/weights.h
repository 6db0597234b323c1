// The gradients of weights: products over all tokens.
#pragma once
#include <functional>

#include "recurrence.h"

namespace seq_models {

// out[k][j] = Σ a[token][k] dz[token][j] for K rows of `out`, and sums[j] = Σ dz[token][j] where it is wanted (not null).
// `fill` writes `count` numbers of a[token] from number k on. Tokens are taken in their order, whatever threads there
// are. A part of the work is some rows and columns of `out`; it goes through the tokens in tiles that fit into the caches.
using Fill = std::function<void(int64_t token, int64_t k, int64_t count, float* to)>;
inline void weight_gradient(Pool& pool, const std::vector<int64_t>& tokens, int64_t K, const Fill& fill, Part dz,
                            float* out, int64_t width, float* sums) {
  constexpr int64_t TILE = 128, COLUMNS = 4 * V, ROWS = 96;
  constexpr int64_t DOWN = ROWS + 16;  // the rows of a tile do not share a place of the cache
  const int64_t columns = (dz.numbers + COLUMNS - 1) / COLUMNS, rows = (K + ROWS - 1) / ROWS;
  pool.run(static_cast<int>(columns * rows), [&](int part) {
    const int64_t j = part / rows * COLUMNS, k = part % rows * ROWS;
    const int64_t wide = std::min(COLUMNS, dz.numbers - j), high = std::min(ROWS, K - k);
    const Floats a = floats(TILE * DOWN), b = zeros(TILE * COLUMNS), total = zeros((high + 1) * COLUMNS);
    float* sum_of_b = total.get() + high * COLUMNS;
    for (size_t start = 0; start < tokens.size(); start += TILE) {
      const int64_t count = std::min<int64_t>(TILE, tokens.size() - start);
      for (int64_t i = 0; i < count; ++i) {
        fill(tokens[start + i], k, high, a.get() + i * DOWN);
        copy(dz.dz.row(tokens[start + i]) + j, b.get() + i * COLUMNS, wide);
        if (sums && k == 0)
          for (int64_t n = 0; n < COLUMNS; ++n) sum_of_b[n] += b[i * COLUMNS + n];
      }
      in_blocks<rows_at_once<4>()>(high, [&](auto size, int64_t first) {
        constexpr int R = decltype(size)::value;
        const float* down[R];
        Vector sum[R][4];
        float* before = total.get() + first * COLUMNS;
        for (int r = 0; r < R; ++r) {
          down[r] = a.get() + first + r;
          for (int n = 0; n < 4; ++n) sum[r][n] = load(before + r * COLUMNS + n * V);
        }
        product<R, 4>(down, b.get(), count, sum, DOWN);
        for (int r = 0; r < R; ++r)
          for (int n = 0; n < 4; ++n) store(before + r * COLUMNS + n * V, sum[r][n]);
      });
    }
    for (int64_t r = 0; r < high; ++r) copy(total.get() + r * COLUMNS, out + (k + r) * width + j, wide);
    if (sums && k == 0) copy(sum_of_b, sums + j, wide);
  });
}

// The gradient of U, or of some columns of it, from those of what it gave.
inline void gradient_of_U(Pool& pool, const Sequence& s, const std::vector<int64_t>& tokens, const float* h, Part dz,
                          float* dU, int64_t width, float* sums = nullptr) {
  const auto entered = [&](int64_t token, int64_t j, int64_t count, float* to) {
    s.entered(h, s.row(token), s.step(token), j, count, to);
  };
  weight_gradient(pool, tokens, s.H, entered, dz, dU, width, sums);
}

}  // namespace seq_models
