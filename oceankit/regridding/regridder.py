"""Regridder: weights computed once, applied to any field on the source grid."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from oceankit.fields import blocks
from oceankit.fields.coordinates import in_degrees
from oceankit.fields.corners import find_bounds
from oceankit.fields.grid import Edges, Grid, GridError
from oceankit.numerics import sparse, threads
from oceankit.numerics.sparse import Rows
from oceankit.regridding import weights

__all__ = ["METHODS", "NoOverlapError", "Regridder", "regrid"]

METHODS = ("nearest", "bilinear", "conservative")
Field = TypeVar("Field", xr.DataArray, xr.Dataset)


class NoOverlapError(GridError):
    """The source covers nothing of the target."""


class Regridder:
    """Regrid fields from one grid to another, again and again.

    Parameters
    ----------
    source, target
        A :class:`~oceankit.fields.Grid`, or a Dataset or DataArray that has one. The target may also be a step in
        degrees: the global regular grid of that step.
    method
        ``"nearest"``: the source cell with the nearest centre, by great-circle distance; targets farther from every
        cell than that cell's own corners are outside. A list of points has no outside.
        ``"bilinear"``: between the four source centres around the target centre; in longitude and latitude on
        rectilinear sources, on the bilinear patch in space on curvilinear ones, barycentric in triangles.
        ``"conservative"``: first order; means over the areas of overlap (Jones 1999, with exact great-circle cells).
    skipna
        Whether missing source values are left out and the rest weighted up; if not, one missing value with a weight
        makes the target missing.
    min_coverage
        A target cell gets a value where at least this share of it is covered by valid source. 0 asks for any.
    extrapolate
        Only None: target cells outside the source stay missing.
    periodic
        Whether the source closes in longitude; found from the grid where None.
    edges
        For ``"conservative"``: ``"great_circle"`` as in ESMF, or ``"latitude"`` as in CDO (two rectilinear grids).
    pole
        For ``"bilinear"``: ``"mean"`` closes the polar cap of a global source with a virtual pole point, the mean of
        the last row; None leaves it open.

    Raises
    ------
    ValueError
        If the method or an option is not known, the grids do not overlap, or a grid lacks what the method needs.

    Examples
    --------
    >>> import numpy as np
    >>> source = Grid.global_regular(5.0)
    >>> field = xr.DataArray(np.ones(source.shape), dims=source.dims, coords=source.coords())
    >>> coarse = Regridder(source, 10.0, "conservative")(field)
    >>> coarse.shape, bool(abs(coarse - 1).max() < 1e-12)
    ((18, 36), True)
    """

    def __init__(
        self,
        source: Grid | xr.Dataset | xr.DataArray,
        target: Grid | xr.Dataset | xr.DataArray | float,
        method: str = "bilinear",
        *,
        skipna: bool = True,
        min_coverage: float = 0.5,
        extrapolate: None = None,
        periodic: bool | None = None,
        edges: Edges = "great_circle",
        pole: str | None = "mean",
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"method={method!r} is not known; choose one of {', '.join(map(repr, METHODS))}")
        if not isinstance(min_coverage, float | int | np.floating | np.integer) or not 0.0 <= min_coverage <= 1.0:
            raise ValueError(f"min_coverage={min_coverage!r}; it is a share between 0 and 1")
        if extrapolate is not None:
            raise ValueError(
                f"extrapolate={extrapolate!r} is not available; only None, which leaves cells outside missing"
            )
        if pole not in ("mean", None):
            raise ValueError(f"pole={pole!r} is not known; choose 'mean' or None")
        if edges not in ("great_circle", "latitude"):
            raise ValueError(f"edges={edges!r} is not known; choose 'great_circle' or 'latitude'")
        self.source = source if isinstance(source, Grid) else Grid.from_dataset(source)
        self.target = as_target(target)
        self.method = method
        self.skipna = skipna
        self.min_coverage = min_coverage
        self.edges: Edges = edges
        if self.source.planar != self.target.planar:
            raise GridError(
                "one grid lies on the sphere and the other on a plane; give both lon and lat, or both x and y"
            )
        wraps = self.source.periodic if periodic is None else periodic
        self._rows = self._unmasked(self._compute(wraps, pole))
        self._shared = blocks.Shared(self._rows)
        if self._rows.values.size == 0:
            raise NoOverlapError(
                f"the source covers nothing of the target: source {self.source!r}, target {self.target!r}; "
                "check that longitudes and latitudes are in the right order and units"
            )

    def _compute(self, wraps: bool, pole: str | None) -> Rows:
        if self.method == "nearest":
            return weights.nearest(self.source, self.target)
        if self.method == "bilinear":
            return weights.bilinear(self.source, self.target, periodic=wraps, pole=pole)
        return weights.conservative(self.source, self.target, edges=self.edges)

    def _unmasked(self, rows: Rows) -> Rows:
        """Without weights on masked source cells, and without rows of masked target cells."""
        keep = np.ones(rows.values.size, bool)
        if self.source.mask is not None:
            keep &= self.source.mask.values.ravel()[rows.columns]
        if self.target.mask is not None:
            keep &= self.target.mask.values.ravel()[rows.numbers()]
        if keep.all():
            return rows
        counts = np.bincount(rows.numbers()[keep], minlength=rows.shape[0])
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Rows(start, rows.columns[keep], rows.values[keep], rows.n_columns)

    @property
    def weights(self) -> xr.Dataset:
        """The weights in ESMF's convention: ``row`` (target) and ``col`` (source) count from 1, ``S`` is the weight."""
        grid_dims = {
            "src_grid_dims": ("src_grid_rank", np.array(self.source.shape[::-1], np.int32)),
            "dst_grid_dims": ("dst_grid_rank", np.array(self.target.shape[::-1], np.int32)),
        }
        return xr.Dataset(
            {
                "row": ("n_s", (self._rows.numbers() + 1).astype(np.int32), {"long_name": "target cell, from 1"}),
                "col": (
                    "n_s",
                    (self._rows.columns.astype(np.int64) + 1).astype(np.int32),
                    {"long_name": "source cell, from 1"},
                ),
                "S": ("n_s", self._rows.values, {"long_name": "weight"}),
                **grid_dims,
            },
            attrs={"map_method": self.method, "normalization": "destarea", "edges": self.edges},
        )

    def __call__(self, data: Field) -> Field:
        """Regrid a field; lazy in, lazy out.

        Parameters
        ----------
        data
            A DataArray, or a Dataset of which every variable on the source grid is regridded, those without its
            dimensions are kept, and cell bounds of the source are left behind.

        Returns
        -------
        Like ``data``: same other dimensions in the same order, same attributes, floats keep their precision.
        """
        if isinstance(data, xr.Dataset):
            return self._dataset(data)
        return self._array(as_field(data))

    def coverage(self, data: xr.DataArray) -> xr.DataArray:
        """Share of each target cell that valid values of ``data`` cover (0 to 1): what ``min_coverage`` is held against.

        With conservative weights and ``min_coverage=0``, ``(regridded * coverage * target.area()).sum()`` is the integral
        of the source.
        """
        valid = as_field(data).notnull().astype(np.float64)
        return (
            self._apply(valid, "coverage", -1.0).rename("coverage").assign_attrs(long_name="share covered", units="1")
        )

    def _dataset(self, ds: xr.Dataset) -> xr.Dataset:
        mine = set(self.source.dims)
        out: dict[Hashable, xr.DataArray] = {}
        corners = self._corner_names(ds)
        for name, variable in ds.data_vars.items():
            if name in corners and set(variable.dims) & mine:
                continue
            shared = mine & set(variable.dims)
            if not shared:
                out[name] = variable
            elif shared == mine:
                out[name] = self._array(variable)
            else:
                raise ValueError(
                    f"variable {name!r} has {tuple(shared)} of the grid's dimensions {self.source.dims} but not all; "
                    f"drop it with .drop_vars({name!r}), or select what is to be regridded"
                )
        if not any(mine <= set(v.dims) for n, v in ds.data_vars.items() if n not in corners):
            raise ValueError(f"no variable of the dataset has the dimensions {self.source.dims} of the source grid")
        return xr.Dataset(out, attrs=ds.attrs)

    def _corner_names(self, ds: xr.Dataset) -> set[Hashable]:
        """Variables that say where the source's cells are, which is not where the target's are."""
        here = [ds[c.name] for c in (self.source.lon, self.source.lat) if c.name in ds.variables]
        found = find_bounds(ds, here[0], here[1], None) if len(here) == 2 else None
        return {*(c.name for c in here), *(c.name for c in found or ()), *self.source.described_by}

    def _array(self, data: xr.DataArray) -> xr.DataArray:
        # Shares come from sums of areas: a cell that is covered by half to rounding is covered by half.
        out = self._apply(data, "value" if self.skipna else "strict", self.min_coverage - 1e-9)
        # What was true of the cells of the source is not true of those of the target.
        out.attrs = {k: v for k, v in data.attrs.items() if k not in ("cell_measures", "grid_mapping", "coordinates")}
        return out

    def _apply(self, data: xr.DataArray, mode: str, least: float) -> xr.DataArray:
        name = repr(data.name) if data.name is not None else "the field"
        self._check(data, name)
        if data.dtype.kind not in "fiub":
            raise ValueError(f"{name} has dtype {data.dtype}, which cannot be regridded; select the numeric variables")
        dtype = np.result_type(data.dtype, np.float32)
        if data.dtype != dtype:
            data = data.astype(dtype)
        target = self.target
        clash = [d for d in target.dims if d in data.dims and d not in self.source.dims]
        if clash:
            raise ValueError(
                f"{name} and the target grid both have a dimension {clash[0]!r} that mean different things; "
                f"rename one, for example data.rename({{{clash[0]!r}: 'old_{clash[0]}'}})"
            )
        (out,) = blocks.along(
            _apply_rows,
            data,
            self.source.dims,
            [blocks.Output(target.dims, target.shape, dtype)],
            constants={"rows": self._shared, "mode": mode, "least": least},
            rechunk=True,
        )
        coords = target.coords()
        out = out.drop_vars([c for c in coords if c in out.coords]).assign_coords(coords)
        return out.transpose(*_order(data.dims, self.source.dims, target.dims))

    def _check(self, data: xr.DataArray, name: str) -> None:
        source = self.source
        absent = [d for d in source.dims if d not in data.dims]
        sizes = tuple(data.sizes.get(d) for d in source.dims)
        if absent or sizes != source.shape:
            raise ValueError(
                f"{name} has dimensions {dict(data.sizes)}, but this regridder was made for a source with "
                f"{dict(zip(source.dims, source.shape, strict=True))}; make a Regridder for this field's own grid"
            )
        packed = [a for a in ("scale_factor", "add_offset", "_FillValue") if a in data.attrs]
        if packed:
            raise ValueError(
                f"{name} was opened without decoding, its attributes say {packed[0]}={data.attrs[packed[0]]!r}; "
                "open it with mask_and_scale, or pass the dataset through xarray.decode_cf"
            )
        for mine, kind in ((source.lon, "longitude"), (source.lat, "latitude")):
            # Not .get: for a dimension without a coordinate it makes one up.
            theirs = data.coords[mine.name] if mine.name in data.coords else None  # noqa: SIM401
            if theirs is None or theirs.dims != mine.dims or theirs.dtype.kind not in "fiu":
                continue
            values = theirs.values if source.planar else in_degrees(theirs, kind)  # type: ignore[arg-type]
            apart = np.abs(values - mine.values)
            if kind == "longitude" and not source.planar:
                apart = np.minimum(apart % 360.0, 360.0 - apart % 360.0)
            apart = apart[np.isfinite(apart)]
            if apart.size and apart.max() > 1e-3:
                raise ValueError(
                    f"{name} lies elsewhere than the source this regridder was made for: its {mine.name!r} differs by up to "
                    f"{apart.max():g}; make a Regridder for this field's own grid"
                )

    def __repr__(self) -> str:
        return (
            f"<oceankit.Regridder {self.method}, {self._rows.values.size} weights\n"
            f"  from {self.source!r}\n  to   {self.target!r}>"
        )


def regrid(
    data: Field,
    target: Grid | xr.Dataset | xr.DataArray | float,
    method: str = "bilinear",
    *,
    skipna: bool = True,
    min_coverage: float = 0.5,
    extrapolate: None = None,
    periodic: bool | None = None,
    edges: Edges = "great_circle",
    pole: str | None = "mean",
) -> Field:
    """Regrid a field once; options and errors as for :class:`Regridder`, which is worth keeping for a second field.

    Examples
    --------
    >>> import numpy as np
    >>> sst = xr.DataArray(np.full((36, 72), 15.0), dims=("lat", "lon"), name="sst",
    ...                    coords={"lat": np.arange(-87.5, 90, 5), "lon": np.arange(2.5, 360, 5)})
    >>> regrid(sst, Grid.regular(lon=(117, 127, 1), lat=(31, 41, 1))).shape
    (10, 10)
    """
    return Regridder(
        data, target, method, skipna=skipna, min_coverage=min_coverage, extrapolate=extrapolate, periodic=periodic,
        edges=edges, pole=pole,
    )(data)  # fmt: skip


def as_field(data: Any) -> xr.DataArray:
    """``data``, if it is a DataArray."""
    if not isinstance(data, xr.DataArray):
        raise ValueError(
            f"a field is an xarray DataArray or Dataset, not a {type(data).__name__}; give it dims and coords first"
        )
    return data


def as_target(target: Any) -> Grid:
    """A Grid from a Grid, a Dataset or DataArray that has one, or a step in degrees."""
    if isinstance(target, Grid):
        return target
    if isinstance(target, xr.Dataset | xr.DataArray):
        return Grid.from_dataset(target)
    if isinstance(target, int | float | np.integer | np.floating) and not isinstance(target, bool):
        return Grid.global_regular(float(target))
    raise ValueError(f"target={target!r} is no grid; give a Grid, a Dataset that has one, or a step in degrees")


def _apply_rows(fields: np.ndarray, *, rows: Rows, mode: str, least: float) -> np.ndarray:
    """Apply the weights to fields (n, *source shape); result (n, targets), reshaped by the caller."""
    flat = fields.reshape(fields.shape[0], -1)
    out = np.empty((flat.shape[0], rows.shape[0]), fields.dtype)
    kernel = {"value": sparse.apply, "strict": sparse.apply_strict, "coverage": sparse.apply_sum}[mode]

    def work(begin: int, end: int) -> None:
        kernel(flat, rows.start[begin : end + 1], rows.columns, rows.values, least, out[:, begin:end])

    # A block of targets serves all fields while its weights are in cache.
    threads.over_blocks(work, rows.shape[0], block=16_384)
    return out


def _order(dims: tuple[Hashable, ...], old: tuple[Hashable, ...], new: tuple[Hashable, ...]) -> list[Hashable]:
    """The user's order of dimensions, the new ones where the old ones were."""
    if len(old) == len(new):
        swap = dict(zip(old, new, strict=True))
        return [swap.get(d, d) for d in dims]
    out: list[Hashable] = []
    for d in dims:
        if d not in old:
            out.append(d)
        elif not set(new) & set(out):
            out.extend(new)
    return out
