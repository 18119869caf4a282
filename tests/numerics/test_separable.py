"""Weights along axes against the dense matrix they stand for, with gaps, bends, rows made for poles and odd sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oceankit.numerics import separable, sparse, threads
from oceankit.numerics.separable import Axes


def some_rows(rng, targets, sources, most):
    """Runs of up to ``most`` neighbouring entries, some rows without any; the sums lie around one."""
    columns, values = np.full((targets, most), -1), np.zeros((targets, most))
    first = np.sort(rng.integers(0, sources, targets))
    for k in range(targets):
        n = min(rng.integers(1, most + 1), sources - first[k])
        columns[k, :n] = first[k] + np.arange(n)
        values[k, :n] = rng.uniform(0.1, 1.0, n)
        values[k] /= values[k].sum() * rng.choice([1.0, 1.0, 1.5])
    columns[rng.random(targets) < 0.1] = -1
    return sparse.from_fixed(columns, values, sources)


def some_axes(rng, source, target, most, *, bent=False, made=True, columns_first=None) -> Axes:
    (ny, nx), (ty, tx) = source, target
    poles = np.array([[0, -1], [0, nx // 2], [ny - 1, -1]]) if made else np.empty((0, 2), np.int64)
    lat = some_rows(rng, ty, ny + len(poles), 2 if bent else most)
    lon = some_rows(rng, tx, nx, most)
    bend = column_bend = None
    if bent:
        bend = np.zeros((3, lat.values.size))
        bend[0] = lat.values
        pairs = lat.start[:-1][np.diff(lat.start) == 2]
        bend[1:, pairs] = rng.uniform(-0.1, 0.1, (2, pairs.size))
        bend[1:, pairs + 1] = -bend[1:, pairs]
        column_bend = rng.uniform(-1e-3, 0.1, tx)
    axes = separable.make(lat, lon, front=min(2, len(poles)), made=poles, bend=bend, column_bend=column_bend)
    return axes if columns_first is None else axes._replace(columns_first=columns_first)


def expected(axes, field, least, strict, instead=None):
    """Means of one field by the matrix of all weights, float64."""
    j, i = np.divmod(np.arange(np.prod(axes.target_shape)), axes.target_shape[1])

    def means(axes, strict):
        rows, rings = separable.rows_of(axes, j, i)
        values = np.concatenate([field, [np.nan if np.isnan(field[r]).all() else np.nanmean(field[r]) for r in rings]])
        matrix = np.zeros((rows.shape[0], values.size))
        np.add.at(matrix, (rows.numbers(), rows.columns), rows.values)
        used = np.zeros(matrix.shape, bool)
        used[rows.numbers(), rows.columns] = True
        there = ~np.isnan(values)
        share, full = matrix @ there, matrix.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = matrix @ np.where(there, values, 0.0) / share
        whole = ~(used & ~there).any(axis=1) & (full > 0) & (full >= least)
        return np.where(whole if strict else (share > 0) & (share >= least), mean, np.nan), whole

    out, whole = means(axes, strict)
    return out if strict or instead is None else np.where(whole, out, means(instead, False)[0])


def gappy(rng, n, size, dtype, share):
    fields = rng.normal(20, 5, (n, size)).astype(dtype)
    for f in fields[1:]:
        f[rng.random(size) < share] = np.nan
        begin = rng.integers(0, size)
        f[begin : begin + size // 4] = np.nan
    return fields


@given(
    st.integers(1, 40), st.integers(1, 70), st.integers(1, 40), st.integers(1, 70), st.integers(1, 6), st.booleans(),
    st.booleans(), st.booleans(), st.sampled_from([np.float32, np.float64]), st.sampled_from([-1e-9, 0.4999, 0.9]),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_against_the_matrix(ny, nx, ty, tx, most, bent, columns_first, strict, dtype, least, seed):
    rng = np.random.default_rng(seed)
    axes = some_axes(rng, (ny, nx), (ty, tx), most, bent=bent, columns_first=columns_first or bent)
    prepared = separable.prepare(axes)
    fields = gappy(rng, 3, ny * nx, dtype, 0.1)
    out = separable.apply(prepared, fields, least, strict)
    assert out.dtype == dtype
    for f in range(3):
        reference = expected(axes, fields[f].astype(np.float64), least, strict)
        np.testing.assert_array_equal(np.isnan(out[f]), np.isnan(reference))
        np.testing.assert_allclose(out[f], reference, rtol=3e-7 if dtype is np.float32 else 1e-13)


@pytest.mark.parametrize("columns_first", [True, False])
@pytest.mark.parametrize("bent", [True, False])
def test_other_weights_where_something_is_missing(columns_first, bent):
    rng = np.random.default_rng(5)
    axes = some_axes(rng, (30, 41), (37, 29), 4, columns_first=columns_first)
    others = some_axes(rng, (30, 41), (37, 29), 2, bent=bent, columns_first=bent or columns_first)
    others = others._replace(made=others.made[::-1].copy())
    fields = gappy(rng, 4, 30 * 41, np.float64, 0.05)
    out = separable.apply(separable.prepare(axes), fields, 0.4, False, separable.prepare(others))
    for f in range(4):
        reference = expected(axes, fields[f], 0.4, False, others)
        np.testing.assert_allclose(out[f], reference, rtol=1e-13)


@pytest.mark.parametrize("columns_first", [True, False])
def test_neither_threads_nor_neighbours_change_a_bit(columns_first):
    """Alone a field is cut into pieces; a gap elsewhere in it, or in another, changes nothing."""
    rng = np.random.default_rng(6)
    axes = some_axes(rng, (50, 90), (83, 77), 4, made=False, columns_first=columns_first)
    prepared = separable.prepare(axes)
    fields = gappy(rng, 9, 50 * 90, np.float64, 0.05)
    fields[1:] = np.where(np.isnan(fields[1:]), np.nan, fields[0])
    together = separable.apply(prepared, fields, 0.5, False)
    for f in range(9):
        with threads.limit(1 + f % 2):
            np.testing.assert_array_equal(separable.apply(prepared, fields[f : f + 1], 0.5, False)[0], together[f])
        untouched = ~np.isnan(separable.apply(prepared, fields[f : f + 1], 0.5, True)[0])
        np.testing.assert_array_equal(together[f][untouched], together[0][untouched])


def test_a_constant_is_kept_to_the_last_digit_between_two_rows():
    rng = np.random.default_rng(7)
    axes = some_axes(rng, (20, 30), (50, 70), 2, bent=True, made=False)
    out = separable.apply(separable.prepare(axes), np.full((1, 600), 35.1, np.float32), 0.0, False)
    assert np.isfinite(out).mean() > 0.5
    np.testing.assert_array_equal(out[~np.isnan(out)], np.float32(35.1))


def test_what_a_bend_takes_from_one_row_goes_to_the_other():
    lat = sparse.from_fixed(np.array([[0, 1]]), np.array([[0.5, 0.5]]), 2)
    bend = np.array([[0.5, 0.5], [0.1, -0.1], [0.0, 0.2]])
    with pytest.raises(ValueError, match="the one gains"):
        separable.make(lat, lat, bend=bend, column_bend=np.zeros(1))
