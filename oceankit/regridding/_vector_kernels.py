"""The one kernel of vectors: a small matrix at each place."""

import numpy as np

from oceankit.numerics.compiling import kernel

__all__ = ["combine"]


@kernel
def combine(fields: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """``out[f, a, i] = sum over k of matrix[a, k, i] fields[f, k, i]``; a missing component makes the result missing.

    ``fields`` (n, k, m), ``matrix`` float64 (a, k, m), ``out`` (n, a, m); sums are float64 whatever the fields are.
    """
    for f in range(fields.shape[0]):
        for a in range(matrix.shape[0]):
            for i in range(fields.shape[2]):
                total = 0.0
                for k in range(matrix.shape[1]):
                    total += matrix[a, k, i] * np.float64(fields[f, k, i])
                out[f, a, i] = total
