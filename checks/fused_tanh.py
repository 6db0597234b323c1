"""Finds the coefficients of the tanh of the fused kernels, and measures its error.

    python checks/fused_tanh.py [--write]

tanh x ≈ x P(x²) / Q(x²) on [0, LARGEST], the best rational function by relative error, found by linear least squares
with weights that follow the error (Lawson's way), in float64; then all is calculated in float32 as the kernel does, and
held against tanh in float64. --write puts the coefficients where the kernel includes them.
"""

import argparse
from pathlib import Path

import numpy as np

LARGEST = 8.5  # tanh of it is 1 - 8e-8, which float32 cannot tell from 1 by more than a bit
P, Q = 4, 4  # degrees in x²
FILE = Path(__file__).parents[1] / "seq_models" / "layers" / "engines" / "fused" / "source" / "tanh_coefficients.h"


def fit():
    """The coefficients of P and of Q, the highest power first; that of Q for x⁰ is 1."""
    x = LARGEST * (1 - np.cos(np.linspace(0, np.pi, 6001)[1:])) / 2
    y = (x / LARGEST) ** 2  # scaled, so that powers stay of one size
    f = np.tanh(x) / x
    weight, q_of_x, best = np.ones_like(x), np.ones_like(x), (np.inf, None)
    for _ in range(400):
        # Σ p_i y^i - f Σ q_j y^j = f, each row divided by what makes it a relative error
        rows = np.concatenate([y[:, None] ** np.arange(P + 1), -f[:, None] * y[:, None] ** np.arange(1, Q + 1)], axis=1)
        scale = np.sqrt(weight) / (f * q_of_x)
        solution = np.linalg.lstsq(rows * scale[:, None], f * scale, rcond=None)[0]
        p, q = solution[: P + 1], np.concatenate([[1.0], solution[P + 1 :]])
        q_of_x = q @ (y ** np.arange(Q + 1)[:, None])
        error = np.abs((p @ (y ** np.arange(P + 1)[:, None])) / q_of_x / f - 1)
        if error.max() < best[0]:
            best = error.max(), (p / LARGEST ** (2.0 * np.arange(P + 1)), q / LARGEST ** (2.0 * np.arange(Q + 1)))
        weight *= error
        weight /= weight.sum()
    return [c[::-1] for c in best[1]]


def tanh_of_kernel(x, p, q):
    """The function in float32, operation by operation."""
    x = np.clip(x.astype("float32"), np.float32(-LARGEST), np.float32(LARGEST))
    y = x * x
    above, below = np.full_like(x, p[0]), np.full_like(x, q[0])
    for c in p[1:].astype("float32"):
        above = above * y + c
    for c in q[1:].astype("float32"):
        below = below * y + c
    return x * above / below


def source(p, q):
    def row(values):
        return ", ".join(f"{np.float32(value):.9e}f" for value in values)

    return (
        "// Written by checks/fused_tanh.py.\n"
        f"constexpr float LARGEST = {LARGEST}f;\n"
        f"constexpr float P[] = {{{row(p[:1])}}}, P_REST[] = {{{row(p[1:])}}};\n"
        f"constexpr float Q[] = {{{row(q[:1])}}}, Q_REST[] = {{{row(q[1:])}}};\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    p, q = fit()
    x = np.concatenate([np.linspace(-12, 12, 2_000_001), np.geomspace(1e-30, 1, 100_001)]).astype("float32")
    right = np.tanh(x.astype("float64"))
    error = tanh_of_kernel(x, p, q).astype("float64") - right
    print(f"largest error {np.abs(error).max():.2e}, relative {np.abs(error[x != 0] / right[x != 0]).max():.2e}")
    if options.write:
        FILE.write_text(source(p, q), "utf-8")


if __name__ == "__main__":
    main()
