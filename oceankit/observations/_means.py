"""Weighted means of a field over some of its values: footprints, tracks, super-observations."""

from collections.abc import Callable, Hashable, Sequence
from functools import partial

import numpy as np
import xarray as xr

from oceankit.fields import blocks
from oceankit.fields.coordinates import describe
from oceankit.fields.gathering import gathered
from oceankit.numerics.sparse import Rows
from oceankit.observations.table import ObservationError
from oceankit.regridding.operators import Matrix

__all__ = ["as_floats", "rows_of_groups", "weighted_means"]


def weighted_means(
    field: xr.DataArray, dims: Sequence[Hashable], rows: Rows, dim: Hashable, *, least: float
) -> xr.DataArray:
    """Means of what is not missing, lazy in and lazy out; other dimensions are kept.

    Parameters
    ----------
    dims
        Dimensions of ``field`` that the columns of ``rows`` count through.
    rows
        Weights, one row for each mean; their sum is 1 where ``least`` is above 0.
    dim
        Dimension of the means.
    least
        A mean needs at least this sum of weights on values that are not missing.
    """
    field = as_floats(field)
    operator = Matrix(rows, rows.n_columns)
    output = blocks.Output((dim,), (rows.shape[0],), field.dtype)
    if max(len(field.chunksizes.get(d, (0,))) for d in dims) > 1:
        return gathered(field, dims, output, partial(_part, operator=operator, least=least), operator.first)
    constants = {"operator": blocks.Shared(operator)}
    (out,) = blocks.along(
        partial(_work, least=least), field, dims, [output], constants=constants, rechunk=True, threaded=True
    )
    return out


def as_floats(field: xr.DataArray) -> xr.DataArray:
    """The field as floats, in the precision it has.

    Raises
    ------
    ObservationError
        If it holds no numbers, or packed ones.
    """
    packed = [a for a in ("scale_factor", "add_offset", "_FillValue") if a in field.attrs]
    if packed:
        raise ObservationError(
            f"{describe(field)} was opened without decoding, its attributes say {packed[0]}={field.attrs[packed[0]]!r}; "
            "open it with mask_and_scale, or pass the dataset through xarray.decode_cf"
        )
    if field.dtype.kind not in "fiub":
        raise ObservationError(f"{describe(field)} has dtype {field.dtype}; a field that is observed holds numbers")
    return field.astype(np.result_type(field.dtype, np.float32), copy=False)


def rows_of_groups(groups: np.ndarray, weights: np.ndarray, n_groups: int) -> Rows:
    """Rows of the members of each group, int64 (n,), numbered from 0; those below 0 are in none. Weights are not normalised."""
    order = np.argsort(groups, kind="stable")
    order = order[np.count_nonzero(groups < 0) :]
    start = np.searchsorted(groups[order], np.arange(n_groups + 1)).astype(np.int64)
    return Rows(start, order.astype(np.uint32), np.ascontiguousarray(weights[order], np.float64), groups.size)


def _work(fields: np.ndarray, *, operator: Matrix, least: float) -> np.ndarray:
    # Sums of weights are rounded: what is covered by half to rounding is covered by half.
    return operator.apply(fields.reshape(fields.shape[0], -1), least - 1e-9, False)


def _part(
    targets: np.ndarray, *, operator: Matrix, least: float
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    cells, part = operator.part(targets)
    return cells, partial(_work, operator=part, least=least)
