"""Products of matrices that differ from place to place, against NumPy's."""

import numpy as np
import pytest

from oceankit.numerics.compiling import kernel
from oceankit.numerics.lanes import lanes_of
from oceankit.numerics.products import MOST, TOGETHER, place_products


@kernel
def multiplied(values, first, many, place, matrices, out):
    for group in range(matrices.shape[0]):
        place_products(values, first, many, place, matrices, group, out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("many", range(1, MOST + 1))
@pytest.mark.parametrize("n", [1, 5, 40])
def test_each_place_has_its_own_matrix(dtype, many, n):
    rng, lanes, groups = np.random.default_rng(n), lanes_of(dtype), -(-n // TOGETHER)
    values = rng.normal(size=(n, many + 3, 3 * lanes)).astype(dtype)
    matrices = rng.normal(size=(groups, n, TOGETHER, lanes)).astype(dtype)
    out = np.full((groups * TOGETHER, many + 3, 3 * lanes), 7, dtype)
    multiplied(values, 2, many, lanes, matrices, out)
    part = np.s_[:, 2 : 2 + many, lanes : 2 * lanes]
    own = np.einsum("ifc,gijc->gjfc", values[part].astype(np.float64), matrices.astype(np.float64))
    np.testing.assert_allclose(out[part], own.reshape(-1, many, lanes), atol=2e-14 if dtype == np.float64 else 2e-5)
    out[part] = 7
    assert (out == 7).all()
