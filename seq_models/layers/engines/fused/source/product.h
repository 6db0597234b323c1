// The product of some rows with a matrix that is packed in panels, accumulated in registers.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <type_traits>
#include <utility>

#include "pool.h"
#include "team.h"
#include "vector.h"

namespace seq_models {

struct Free {
  void operator()(float* memory) const { free(memory); }
};
using Floats = std::unique_ptr<float[], Free>;

// Aligned; what is in them is not said.
inline Floats floats(size_t count) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 64, 4 * count + 64) != 0) throw std::bad_alloc();
  return Floats(static_cast<float*>(memory));
}
inline Floats zeros(size_t count) {
  Floats numbers = floats(count);
  memset(numbers.get(), 0, 4 * count + 64);
  return numbers;
}

// Where a panel's numbers come from: element (k, n) of a matrix is matrix[k * down + n * across].
struct Matrix {
  const float* start;
  int64_t down, across;
};

// A matrix (K, gates * H) cut into panels. Panel p has, for each row k, the columns of `wide` vectors of units from
// p * wide * V on, for each gate: what one register block works on lies in one piece. Units beyond H are zeros.
template <int GATES_, int WIDE>
class Panels {
 public:
  static constexpr int GATES = GATES_, VECTORS = GATES * WIDE;  // of a row of a panel
  static constexpr int UNITS = WIDE * V;

  Panels(Pool& pool, Matrix matrix, int64_t K, int64_t H) : K_(K), H_(H), numbers_(floats(count() * K * VECTORS * V)) {
    if (H % UNITS) memset(numbers_.get() + (count() - 1) * K * VECTORS * V, 0, 4 * K * VECTORS * V);
    constexpr int64_t TILE = 16;  // rows at a time: a matrix that is read across stays in the cache meanwhile
    pool.run(static_cast<int>((K + TILE - 1) / TILE), [&](int tile) {
      const int64_t first = tile * TILE, last = std::min(K, first + TILE);
      for (int64_t p = 0; p < count(); ++p)
        each(p, [&](int n, int64_t column, int64_t left) {
          float* out = numbers_.get() + (p * K + first) * VECTORS * V + n * V;
          const float* in = matrix.start + first * matrix.down + column * matrix.across;
          if (matrix.across == 1)
            for (int64_t k = first; k < last; ++k, in += matrix.down, out += VECTORS * V) store(out, load(in, left));
          else if (last - first == TILE && left >= V)
            turn<TILE>(in, matrix.across, out);
          else
            for (int64_t k = first; k < last; ++k, in += matrix.down, out += VECTORS * V)
              for (int64_t j = 0; j < V; ++j) out[j] = j < left ? in[j * matrix.across] : 0;
        });
    });
  }
  int64_t count() const { return (H_ + UNITS - 1) / UNITS; }
  int64_t rows() const { return K_; }
  const float* panel(int64_t p) const { return numbers_.get() + p * K_ * VECTORS * V; }
  // Calls f(n, column, left) for vector n of panel p, which is `left` numbers of the matrix from `column` on.
  template <class F>
  INLINE_METHOD void each(int64_t p, F f) const {
    for (int gate = 0; gate < GATES; ++gate)
      for (int w = 0; w < WIDE; ++w) {
        const int64_t j = (p * WIDE + w) * V;
        if (j < H_) f(gate * WIDE + w, gate * H_ + j, H_ - j);
      }
  }

 private:
  // A block of V columns, each of TILE numbers in one piece.
  template <int64_t TILE>
  static void turn(const float* in, int64_t across, float* out) {
    for (int64_t k = 0; k < TILE; ++k, ++in, out += VECTORS * V)
      for (int64_t j = 0; j < V; ++j) out[j] = in[j * across];
  }
  int64_t K_, H_;
  Floats numbers_;
};

constexpr bool MANY_REGISTERS = V == 16;  // 32 of them, else 16

// Rows of sums that fit into the registers beside what `product` holds.
template <int VECTORS>
constexpr int rows_at_once() {
  return MANY_REGISTERS ? std::min(8, (31 - VECTORS) / VECTORS) : std::max(1, 15 / (VECTORS + 1));
}

// sums[r][n] += Σ_k a[r][k down] panel[k][n], k in order: what a row becomes does not depend on the rows beside it. The
// last vector of a panel goes to sum LAST. Not inlined, for it is called from everywhere and takes long to compile.
template <int ROWS, int VECTORS, int LAST = VECTORS - 1, int SUMS>
__attribute__((noinline)) void product(const float* const (&a)[ROWS], const float* panel, int64_t K,
                                       Vector (&sums)[ROWS][SUMS], int64_t down = 1) {
  Vector sum[ROWS][SUMS];
  for (int r = 0; r < ROWS; ++r)
    for (int n = 0; n < SUMS; ++n) sum[r][n] = sums[r][n];
  constexpr auto to = [](int n) { return n == VECTORS - 1 ? LAST : n; };
#pragma GCC unroll 4
  for (int64_t k = 0; k < K; ++k, panel += VECTORS * V) {
    if constexpr (MANY_REGISTERS) {  // the row of the panel stays in registers, the numbers come from memory
      Vector row[VECTORS];
      for (int n = 0; n < VECTORS; ++n) row[n] = *(const Vector*)(panel + n * V);
      for (int r = 0; r < ROWS; ++r)
        for (int n = 0; n < VECTORS; ++n) sum[r][to(n)] += all(a[r][k * down]) * row[n];
    } else {
      Vector x[ROWS];
      for (int r = 0; r < ROWS; ++r) x[r] = all(a[r][k * down]);
      for (int n = 0; n < VECTORS; ++n) {
        const Vector row = *(const Vector*)(panel + n * V);
        for (int r = 0; r < ROWS; ++r) sum[r][to(n)] += x[r] * row;
      }
    }
  }
  for (int r = 0; r < ROWS; ++r)
    for (int n = 0; n < SUMS; ++n) sums[r][n] = sum[r][n];
}

// sum[r][n] += x in every row.
template <int ROWS, int SUMS>
INLINE void add_to_all(Vector x, int n, Vector (&sum)[ROWS][SUMS]) {
  for (int r = 0; r < ROWS; ++r) sum[r][n] += x;
}

// Calls f(std::integral_constant<int, rows>, first) for n rows in blocks of even sizes, of MOST rows at most.
template <int MOST, class F>
INLINE void in_blocks(int64_t n, F f) {
  const int64_t blocks = (n + MOST - 1) / MOST;
  for (int64_t block = 0, first = 0; block < blocks; ++block) {
    const int64_t rows = (n - first) / (blocks - block);
    [&]<int... R>(std::integer_sequence<int, R...>) {
      (void)((rows == R + 1 && (f(std::integral_constant<int, R + 1>(), first), true)) || ...);
    }(std::make_integer_sequence<int, MOST>());
    first += rows;
  }
}

// The same for every panel p of a member's share: f(size, first, p).
template <int MOST, class P, class F>
INLINE void in_panels(const P& panels, int64_t n, const Member& member, F f) {
  for (int64_t p = member.from(panels.count()); p < member.to(panels.count()); ++p)
    in_blocks<MOST>(n, [&](auto size, int64_t first) { f(size, first, p); });
}

}  // namespace seq_models
