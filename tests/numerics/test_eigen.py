"""Eigenvalues against LAPACK."""

import numpy as np
import pytest

from oceankit.numerics.eigen import symmetric, width_of


def made(kind, n, rng):
    a = rng.normal(size=(n, n))
    if kind == "full":
        return a @ a.T
    if kind == "thin":
        return a[:, : max(1, n // 3)] @ a[:, : max(1, n // 3)].T
    if kind == "indefinite":
        return a + a.T
    if kind == "diagonal":
        return np.diag(rng.normal(size=n))
    if kind == "equal":
        return 3.0 * np.eye(n)
    if kind == "wide":
        q = np.linalg.qr(a)[0]
        return q @ np.diag(10.0 ** np.linspace(-12, 6, n)) @ q.T
    return np.zeros((n, n))


@pytest.mark.parametrize("n", [1, 2, 3, 7, 24, 40, 80])
@pytest.mark.parametrize("kind", ["full", "thin", "indefinite", "diagonal", "equal", "wide", "zero"])
def test_values_and_vectors(kind, n):
    rng = np.random.default_rng(n)
    a = made(kind, n, rng)
    a = 0.5 * (a + a.T)
    width = width_of(n)
    values, rows, spent = np.empty(n), np.full((n, width), np.nan), np.zeros((n, width))
    spent[:, :n] = a
    assert symmetric(spent, values, rows, np.full((n + 3, width), np.nan))
    rows = rows[:, :n]
    size = max(np.abs(a).max(), 1e-300) * n
    np.testing.assert_allclose(np.sort(values), np.linalg.eigvalsh(a), rtol=0, atol=1e-14 * size)
    np.testing.assert_allclose(rows @ rows.T, np.eye(n), rtol=0, atol=1e-13)
    np.testing.assert_allclose(rows.T @ (values[:, None] * rows), a, rtol=0, atol=1e-14 * size)
