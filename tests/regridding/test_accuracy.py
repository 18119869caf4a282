"""Mean errors on the functions of Valcke et al. 2022, closure of areas, and orders of convergence."""

import numpy as np
import pytest
from analytic import harmonic, on_grid, rotated_grid, sinusoid, vortex

from oceankit.fields import Grid
from oceankit.numerics import sparse
from oceankit.regridding import Regridder, regrid

FUNCTIONS = (sinusoid, harmonic, vortex)

# Mean relative errors of ESMF, and of CDO for bicubic, to the digits given.
TABLE = {
    (0.25, 1.0, "bilinear"): (7.9e-7, 4.5e-5, 2.0e-5),
    (0.25, 1.0, "conservative"): (2.6e-5, 2.2e-4, 1.3e-4),
    (1.0, 0.25, "bilinear"): (8.7e-6, 5.0e-4, 2.1e-4),
    (1.0, 0.25, "conservative"): (1.41e-3, 5.3e-3, 2.9e-3),
    (1.0, 0.25, "conservative2"): (2.6e-5, 3.1e-4, 1.4e-4),
    (1.0, 0.25, "bicubic"): (7.2e-6, 1.9e-5, 2.4e-5),
}


def to_the_digits_of(number: float, like: float) -> float:
    """Rounded to as many digits as the table has: three where it gives three, else two."""
    digits = 2 if f"{like:.2e}"[3] != "0" else 1
    return float(f"{number:.{digits}e}")


@pytest.mark.parametrize(("source", "target", "method"), TABLE)
def test_mean_errors_are_at_most_those_of_the_table(source, target, method):
    grid = Grid.global_regular(target)
    regridder = Regridder(Grid.global_regular(source), grid, method)
    for function, bar in zip(FUNCTIONS, TABLE[source, target, method], strict=True):
        exact = on_grid(grid, function).values
        out = regridder(on_grid(regridder.source, function)).values
        assert np.isfinite(out).all()
        error = float(np.mean(np.abs(out / exact - 1)))
        assert to_the_digits_of(error, bar) <= bar, (function.__name__, error)


@pytest.mark.parametrize(("source", "target"), [(1.0, 2.5), (2.5, 1.0), (3.0, 2.0)])
@pytest.mark.parametrize("method", ["conservative", "conservative2"])
@pytest.mark.parametrize("edges", ["great_circle", "latitude"])
def test_areas_close_between_global_grids(source, target, method, edges):
    """Row sums are one, source cells are used up, and the integral of a field is kept, each to 1e-13."""
    if method == "conservative2" and edges == "latitude":
        pytest.skip("second order is for great-circle edges")
    regridder = Regridder(Grid.global_regular(source), target, method, edges=edges)
    rows = regridder._operator.rows if method == "conservative2" else regridder._operator.matrix()
    theirs = regridder.source.area(edges=edges).values.ravel()
    ours = regridder.target.area(edges=edges).values.ravel()
    assert np.abs(sparse.sums(rows) - 1).max() < 1e-13
    taken = np.bincount(rows.columns, weights=rows.values * ours[rows.numbers()], minlength=theirs.size)
    assert np.abs(taken / theirs - 1).max() < 1e-13
    field = on_grid(regridder.source, vortex)
    after, before = (regridder(field).values.ravel() * ours).sum(), (field.values.ravel() * theirs).sum()
    assert abs(after / before - 1) < 1e-13


@pytest.mark.parametrize("pole", [(40.0, 160.0), (75.0, -20.0)])
@pytest.mark.parametrize(("method", "order"), [("bilinear", 2), ("bicubic", 3), ("conservative2", 2)])
def test_order_on_a_tilted_curvilinear_grid(pole, method, order):
    """Against points inside (cell means against cell means of a far finer grid for the conservative one)."""
    errors = []
    for n in (40, 80, 160):
        source = rotated_grid(n * 2 // 3, n, pole=pole)
        inside = rotated_grid(37, 53, lon=(-20, 20), lat=(-12, 12), pole=pole)
        out = regrid(on_grid(source, harmonic), inside, method).values
        exact = on_grid(inside, harmonic).values
        if method == "conservative2":
            fine = rotated_grid(37 * 8, 53 * 8, lon=(-20, 20), lat=(-12, 12), pole=pole)
            exact = regrid(on_grid(fine, harmonic), inside, "conservative").values
            source_fine = rotated_grid(n * 2 // 3 * 4, n * 4, pole=pole)
            means = regrid(on_grid(source_fine, harmonic), source, "conservative")
            out = Regridder(source, inside, method)(means).values
        errors.append(np.abs(out - exact).mean())
    assert np.log2(errors[1] / errors[2]) > order - 0.4, errors
