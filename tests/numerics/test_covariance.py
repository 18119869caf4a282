"""Correlation functions: against their published forms, and all with the same length."""

import numpy as np
import pytest

from oceankit.numerics import covariance


def published(r):
    """Gaspari and Cohn 1999, equation 4.10, as printed."""
    r = np.asarray(r, float)
    inner = -(r**5) / 4 + r**4 / 2 + 5 * r**3 / 8 - 5 * r**2 / 3 + 1
    with np.errstate(divide="ignore"):
        outer = r**5 / 12 - r**4 / 2 + 5 * r**3 / 8 + 5 * r**2 / 3 - 5 * r + 4 - 2 / (3 * r)
    return np.where(r <= 1, inner, np.where(r <= 2, outer, 0.0))


def test_gaspari_cohn_is_the_published_function():
    r = np.linspace(0, 2.5, 501)
    ours = [covariance.gaspari_cohn(x) for x in r]
    np.testing.assert_allclose(ours, published(r), atol=1e-14)
    np.testing.assert_allclose([covariance.gaspari_cohn.py_func(x) for x in r], ours, atol=1e-16)


@pytest.mark.parametrize("function", covariance.FUNCTIONS)
def test_all_fall_alike_near_zero(function):
    step = 1e-3
    fall = (1 - covariance.evaluate(function, step * 50.0, 50.0)) / step**2
    assert fall == pytest.approx(0.5, abs=2e-3)


@pytest.mark.parametrize("function", covariance.FUNCTIONS)
def test_a_covariance_on_a_line_is_positive_definite(function):
    x = np.linspace(0, 10, 60)
    matrix = covariance.evaluate(function, np.abs(x[:, None] - x[None]), 1.0)
    assert np.linalg.eigvalsh(matrix).min() > -1e-10


def test_where_it_ends():
    assert covariance.evaluate("gaspari_cohn", covariance.GASPARI_COHN_ZERO * 70.0, 70.0) == 0.0
    assert covariance.evaluate("gaspari_cohn", covariance.GASPARI_COHN_ZERO * 69.0, 70.0) > 0.0


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="'exponential'.*'matern'"):
        covariance.evaluate("exponential", 1.0, 1.0)
