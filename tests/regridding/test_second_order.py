"""Second-order conservative remapping: exact for planes, conserving with gaps, bounded when limited."""

import numpy as np
import pytest
import xarray as xr
from analytic import harmonic, on_grid, rotated_grid, smooth, vortex

from oceankit.fields import Grid, GridError
from oceankit.regridding import Regridder
from oceankit.regridding import _second_order_kernels as kernels
from oceankit.regridding import second_order as room


def integral(field: xr.DataArray, grid: Grid) -> float:
    return float((field * grid.area()).sum())


@pytest.mark.parametrize("target", [2.0, 7.5, 3.0])
@pytest.mark.parametrize("function", [harmonic, vortex])
def test_integrals_are_kept_whatever_the_gradients(target, function):
    source = Grid.global_regular(5.0)
    regridder = Regridder(source, target, "conservative2")
    field = on_grid(source, function)
    assert integral(regridder(field), regridder.target) == pytest.approx(integral(field, source), rel=1e-13)


def test_integrals_are_kept_from_eorca1(nemo):
    """With land: what is covered keeps its integral to rounding."""
    regridder = Regridder(nemo, 1.0, "conservative2", min_coverage=0.0)
    sst = nemo["tos"].squeeze().astype(np.float64)
    after = float((regridder(sst) * regridder.coverage(sst) * regridder.target.area()).sum())
    valid = np.isfinite(sst.values) & ~regridder.source.topology.halo
    before = float((sst.values * regridder.source.area().values)[valid].sum())
    assert after == pytest.approx(before, rel=1e-11)


def test_planes_are_exact():
    """On a plane, with cells of any size, means of a linear function are its values at the centroids."""
    source = Grid.regular(x=(0, 40, 2), y=(0, 30, 3))
    target = Grid.regular(x=(4, 36, 0.5), y=(6, 24, 0.75))
    plane = [2 + 0.3 * g.lon - 0.7 * g.lat for g in (source, target)]
    out = Regridder(source, target, "conservative2")(plane[0].transpose(*source.dims))
    np.testing.assert_allclose(out.values, plane[1].transpose(*target.dims).values, rtol=1e-12)


def test_planes_are_exact_beside_gaps():
    """Least squares over the neighbours that are there: a hole costs nothing while two directions are left."""
    source = Grid.regular(x=(0, 20, 1), y=(0, 20, 1))
    target = Grid.regular(x=(2, 18, 0.25), y=(2, 18, 0.25))
    field = (2 + 0.3 * source.lon - 0.7 * source.lat).transpose(*source.dims).copy()
    field[9:11, 8] = np.nan
    exact = (2 + 0.3 * target.lon - 0.7 * target.lat).transpose(*target.dims)
    out = Regridder(source, target, "conservative2")(field)
    there = np.isfinite(out.values)
    assert (~there).sum() == 32
    np.testing.assert_allclose(out.values[there], exact.values[there], rtol=1e-12, atol=1e-13)


def test_the_matrix_is_what_is_applied_where_nothing_is_missing():
    source = rotated_grid(20, 30)
    regridder = Regridder(source, 3.0, "conservative2", min_coverage=0.0)
    field = on_grid(source, vortex)
    out = np.zeros(regridder.target.size)
    weights = regridder.weights
    np.add.at(out, weights["row"].values - 1, weights["S"].values * field.values.ravel()[weights["col"].values - 1])
    covered = regridder.coverage(field).values.ravel()
    np.testing.assert_allclose(out[covered > 0], (regridder(field).values.ravel() * covered)[covered > 0], rtol=1e-11)


def test_a_limiter_makes_no_new_extremes():
    source = Grid.global_regular(6.0)
    step = xr.where(on_grid(source, smooth) > 2.3, 10.0, 1.0)
    free = Regridder(source, 1.5, "conservative2")(step)
    limited = Regridder(source, 1.5, "conservative2", limiter="barth_jespersen")
    assert float(free.max()) > 10.05
    assert float(free.min()) < 0.95
    out = limited(step)
    assert float(out.max()) <= 10 + 1e-12
    assert float(out.min()) >= 1 - 1e-12
    assert integral(out, limited.target) == pytest.approx(integral(step, source), rel=1e-13)
    first = Regridder(source, 1.5, "conservative")(on_grid(source, vortex))
    exact = on_grid(limited.target, vortex)
    assert float(abs(limited(on_grid(source, vortex)) - exact).mean()) < 0.6 * float(abs(first - exact).mean())


def test_masked_cells_have_no_part_in_gradients():
    source = Grid.global_regular(5.0)
    field = on_grid(source, vortex)
    mask = on_grid(source, smooth) > 1.6
    masked = Grid.from_dataset(field, mask=mask)
    spoilt = field.where(mask, 1e6)
    out = Regridder(masked, 2.0, "conservative2", min_coverage=0.0)(spoilt)
    expected = Regridder(source, 2.0, "conservative2", min_coverage=0.0)(field.where(mask))
    np.testing.assert_allclose(out.values, expected.values, rtol=1e-12)
    assert float(out.max()) < 10


def test_kernels_in_plain_python_agree():
    source = rotated_grid(6, 8)
    operator = Regridder(source, 6.0, "conservative2", min_coverage=0.0)._operator
    field = on_grid(source, harmonic).values.reshape(1, -1).copy()
    field[0, [3, 17]] = np.nan
    reach, none = room._corners(source.cells(), room.centroids(source.cells())), np.empty((source.size, 0, 2))
    for limit in (none, reach):
        compiled, plain = np.empty((1, source.size, 2)), np.empty((1, source.size, 2))
        given = (operator.start, operator.neighbours, operator.ways, operator._pull, limit)
        kernels.gradients(field, 0, source.size, *given, compiled)
        kernels.gradients.py_func(field, 0, source.size, *given, plain)
        np.testing.assert_allclose(plain, compiled, rtol=1e-13, atol=1e-15)
    rows = operator.rows
    out = np.empty((1, rows.shape[0]))
    kernels.apply.py_func(field, compiled, rows.start, rows.columns, rows.values, operator.moments, 0.0, False, out)
    again = np.empty_like(out)
    kernels.apply(field, compiled, rows.start, rows.columns, rows.values, operator.moments, 0.0, False, again)
    np.testing.assert_allclose(out, again, rtol=1e-13)


def test_refusals():
    source = Grid.global_regular(10.0)
    with pytest.raises(ValueError, match="limiter='minmod' is not known"):
        Regridder(source, 5.0, "conservative2", limiter="minmod")
    with pytest.raises(GridError, match="great_circle"):
        Regridder(source, 5.0, "conservative2", edges="latitude")
    with pytest.raises(GridError, match="cells"):
        Regridder(Grid.points([0, 1], [0, 1]), 5.0, "conservative2")
