// Vectors of floats in the compiler's own notation: one source for AVX-512, AVX2, NEON and plain code.
#pragma once
#include <cstdint>
#include <cstring>

#define INLINE_METHOD inline __attribute__((always_inline))
#define INLINE static INLINE_METHOD

namespace seq_models {

#if defined(__AVX512F__)
constexpr int V = 16;  // floats of a vector
#elif defined(__AVX2__)
constexpr int V = 8;
#else
constexpr int V = 4;
#endif

typedef float Vector __attribute__((vector_size(4 * V)));
typedef float Unaligned __attribute__((vector_size(4 * V), aligned(4), may_alias));

INLINE Vector load(const float* from) { return (Vector)(*(const Unaligned*)from); }
INLINE void store(float* to, Vector x) { *(Unaligned*)to = (Unaligned)x; }
INLINE Vector all(float x) { return x - Vector{}; }

// The first n of a vector, for the last vector of H units; the others are zeros.
INLINE Vector load(const float* from, int64_t n) {
  if (n >= V) return load(from);
  alignas(4 * V) float some[V] = {};
  memcpy(some, from, 4 * n);
  return load(some);
}
INLINE void store(float* to, Vector x, int64_t n) {
  if (n >= V) return store(to, x);
  alignas(4 * V) float some[V];
  store(some, x);
  memcpy(to, some, 4 * n);
}

// tanh x = x P(x^2) / Q(x^2) up to where it is 1 in float32. Coefficients and error: checks/fused_tanh.py.
INLINE Vector tanh(Vector x) {
#include "tanh_coefficients.h"
  x = x > LARGEST ? all(LARGEST) : x;  // a NaN stays one
  x = x < -LARGEST ? all(-LARGEST) : x;
  const Vector y = x * x;
  Vector p = all(P[0]), q = all(Q[0]);
  for (float c : P_REST) p = p * y + c;
  for (float c : Q_REST) q = q * y + c;
  return x * p / q;
}
INLINE Vector sigmoid(Vector x) { return tanh(x * 0.5f) * 0.5f + 0.5f; }

}  // namespace seq_models
