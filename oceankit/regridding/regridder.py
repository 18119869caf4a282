"""Regridder: weights computed once, applied to any field on the source grid."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from copy import copy
from functools import cached_property, partial
from os import PathLike
from typing import Any, Literal, TypeVar

import numpy as np
import xarray as xr

from oceankit.fields import blocks
from oceankit.fields.corners import find_bounds
from oceankit.fields.gathering import gathered
from oceankit.fields.grid import Edges, Grid, GridError
from oceankit.numerics import sparse
from oceankit.numerics.sparse import Rows
from oceankit.regridding import exported_weights, extrapolation, foreign_weights, weight_files
from oceankit.regridding.agreement import check_field, check_side
from oceankit.regridding.binning import Bins
from oceankit.regridding.methods import LIMITERS, METHODS, Options, operator
from oceankit.regridding.operators import Operator
from oceankit.regridding.report import report as make_report
from oceankit.regridding.scattered import check_inverse_distance
from oceankit.regridding.second_order import SecondOrder

__all__ = ["METHODS", "NoOverlapError", "Regridder", "regrid"]

Field = TypeVar("Field", xr.DataArray, xr.Dataset)

_OF_PLACES = ("cell_measures", "grid_mapping", "coordinates", "location", "mesh")


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
        ``"nearest_target"``: each source cell to the target with the nearest centre, and targets the mean of what they get;
        source cells farther from every target cell than its own corners are not carried.
        ``"bilinear"``: between the four source centres around the target centre, on the bilinear patch through them in
        space, as in ESMF; barycentric in triangles. On a mesh, between the nodes of a face, or between the centres of
        the faces around a node for values on faces.
        ``"bicubic"``: cubic through sixteen centres; bilinear where one of them is missing.
        ``"conservative"``: first order; means over the areas of overlap (Jones 1999, with exact great-circle cells).
        ``"conservative2"``: second order; each source cell holds a plane, its slope made of the neighbours that are there.
        ``"idw"``: inverse distance, the ``neighbours`` nearest source centres weighted by one over their great-circle
        distance to the ``power``; a target on a source takes its value. Outside as for ``"nearest"``.
        ``"mean"``, ``"median"``, ``"min"``, ``"max"``, ``"count"``: of the source's places (points, or centres of cells) that
        fall in each target cell. One that is not missing is enough, whatever ``min_coverage``. Cells of a rectilinear
        target hold their low edges, the last also its high one, as in ``numpy.histogram2d``; other cells lie between great
        circles. The count is of values that are not missing: int64, and 0 where there are none, masked cells included.
    skipna
        Whether missing source values are left out and the rest weighted up; if not, one missing value with a weight
        makes the target missing.
    min_coverage
        A target cell gets a value where at least this share of it is covered by valid source. 0 asks for any.
    extrapolate
        What fills target cells that got no value, from what is valid in the same field at the same time and level;
        masked ones stay missing. ``"nearest"``: the nearest valid source cell by great-circle distance, the first of equals.
        ``"inverse_distance"``: the ``neighbours`` nearest ones, as in ``"idw"``. ``"creep"``: on the target grid, ring by
        ring, each empty cell beside filled ones getting their mean. None: they stay missing. A lazy field that lies in
        several chunks along the grid's dimensions is then merged along them, for each fill needs the whole of it.
    periodic
        Whether the source closes in longitude; found from the grid where None.
    edges
        Of rectilinear cells: ``"great_circle"`` as in ESMF, or ``"latitude"``, along parallels, as in CDO. For
        ``"conservative"``, and for ``"bilinear"``, whose weights are then linear in longitude and latitude.
    pole
        For ``"bilinear"``: ``"mean"`` closes the polar cap of a global source with a virtual pole point, the mean of
        the last row; None leaves it open.
    limiter
        For ``"conservative2"``: ``"barth_jespersen"`` keeps every cell's plane within what its neighbours have, so that no
        new extremes arise (Barth and Jespersen 1989), at the price of accuracy at smooth extremes.
    neighbours, power
        For ``"idw"`` and ``extrapolate="inverse_distance"``.
    creep_levels
        For ``extrapolate="creep"``: the number of rings, None for as many as there are.

    Raises
    ------
    ValueError
        If the method or an option is not known, the grids do not overlap, or a grid lacks what the method needs; if
        ``extrapolate`` is to fill what ``skipna=False`` asks to stay missing, or counts, which never are.

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
        extrapolate: str | None = None,
        periodic: bool | None = None,
        edges: Edges = "great_circle",
        pole: str | None = "mean",
        limiter: str | None = None,
        neighbours: int = 8,
        power: float = 2.0,
        creep_levels: int | None = None,
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"method={method!r} is not known; choose one of {', '.join(map(repr, METHODS))}")
        _check_missing(skipna, min_coverage)
        extrapolation.check(extrapolate, creep_levels, method=method, skipna=skipna)
        check_inverse_distance(neighbours, power)
        if pole not in ("mean", None):
            raise ValueError(f"pole={pole!r} is not known; choose 'mean' or None")
        if edges not in ("great_circle", "latitude"):
            raise ValueError(f"edges={edges!r} is not known; choose 'great_circle' or 'latitude'")
        if limiter not in LIMITERS:
            raise ValueError(f"limiter={limiter!r} is not known; choose one of {', '.join(map(repr, LIMITERS))}")
        self.source = source if isinstance(source, Grid) else Grid.from_dataset(source)
        self.target = as_target(target)
        extrapolation.check_target(extrapolate, self.target)
        self.method = method
        self.skipna = skipna
        self.min_coverage = min_coverage
        self.edges: Edges = edges
        self.extrapolate, self.creep_levels = extrapolate, creep_levels
        if periodic is not None and not isinstance(periodic, bool | np.bool_):
            raise ValueError(f"periodic={periodic!r}; give True, False, or None to find out from the grid")
        wraps = self.source.periodic if periodic is None else bool(periodic)
        self._options: Options | None = Options(method, wraps, edges, pole, limiter, int(neighbours), float(power))
        self._operator = operator(self.source, self.target, self._options)
        self._shared = blocks.Shared(self._operator)
        if self._operator.is_empty:
            raise NoOverlapError(
                f"the source covers nothing of the target: source {self.source!r}, target {self.target!r}; "
                "check that longitudes and latitudes are in the right order and units"
            )

    @property
    def options(self) -> dict[str, Any]:
        """The options that it was made with, as keywords; weights of another tool have no more than they say."""
        own = {n: getattr(self, n) for n in ("skipna", "min_coverage", "extrapolate", "creep_levels", "edges")}
        made = {} if self._options is None else self._options._asdict()
        return own | {n: value for n, value in made.items() if n != "method"}

    @cached_property
    def _coords(self) -> xr.Coordinates:
        """Coordinates of the results, with their indexes, made once."""
        return xr.Coordinates(self.target.coords())

    @cached_property
    def _hidden(self) -> np.ndarray | None:
        """bool (targets,): cells of the target that are masked and get no value."""
        return None if self.target.mask is None else ~self.target.mask.values.ravel()

    @cached_property
    def _filler(self) -> blocks.Shared | None:
        """What fills the targets that get no value."""
        if self.extrapolate is None:
            return None
        ways = Options._field_defaults if self._options is None else self._options._asdict()
        found = extrapolation.extrapolation(
            self.source, self.target, self.extrapolate,
            number=ways["neighbours"], power=ways["power"], creep_levels=self.creep_levels,
        )  # fmt: skip
        return blocks.Shared(found)

    def _matrix(self) -> Rows:
        """The weights, without those of masked targets."""
        rows = self._operator.matrix()
        return rows if self._hidden is None else sparse.select(rows, ~self._hidden[rows.numbers()])

    @property
    def weights(self) -> xr.Dataset:
        """The weights in ESMF's convention: ``row`` (target) and ``col`` (source) count from 1, ``S`` is the weight."""
        rows = self._matrix()
        grid_dims = {
            "src_grid_dims": ("src_grid_rank", np.array(self.source.shape[::-1], np.int32)),
            "dst_grid_dims": ("dst_grid_rank", np.array(self.target.shape[::-1], np.int32)),
        }
        return xr.Dataset(
            {
                "row": ("n_s", (rows.numbers() + 1).astype(np.int32), {"long_name": "target cell, from 1"}),
                "col": (
                    "n_s",
                    (rows.columns.astype(np.int64) + 1).astype(np.int32),
                    {"long_name": "source cell, from 1"},
                ),
                "S": ("n_s", rows.values, {"long_name": "weight"}),
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
        out = self._apply(as_field(data), "coverage")
        return out.rename("coverage").assign_attrs({}).assign_attrs(long_name="share covered", units="1")

    def report(self, field: xr.DataArray | None = None) -> xr.Dataset:
        """What becomes of each cell: coverage, weights, conservation, and why targets have no value.

        Parameters
        ----------
        field
            One field of the source, at one time and level: source cells where it is missing count as masked. Without it the
            report is about the grids and their masks alone. Nothing is said of ``skipna=False`` and of extrapolation.

        Returns
        -------
        Dataset
            On the target grid ``reason`` (a flag; its ``flag_meanings`` are the reasons), ``coverage``, ``weight_min``,
            ``weight_max`` and ``n_sources``; on the source grid, its dimensions and coordinates beginning with
            ``source_``, ``source_share``. Counts and totals, among them how well areas close, are attributes.

        Examples
        --------
        >>> found = Regridder(Grid.regular(lon=(0, 40, 2), lat=(0, 40, 2)), 10.0, "conservative").report()
        >>> found.attrs["n_mapped"], found.attrs["n_outside_the_source"]
        (16, 632)
        """
        areas = self.method in ("conservative", "conservative2")
        rows = _shares(self._operator)
        unmasked = None
        if self._options is not None and self.source.mask is not None and not self.source.mask.values.all():
            bare = copy(self.source)
            bare.mask = None
            unmasked = _shares(operator(bare, self.target, self._options))
        valid = np.ones(self.source.size, bool) if self.source.mask is None else self.source.mask.values.ravel()
        if field is not None:
            unmasked = rows if unmasked is None else unmasked
            valid = valid & self._valid(field)
            rows = sparse.select(rows, valid[rows.columns])
        attrs = {"method": self.method, "edges": self.edges, "min_coverage": self.min_coverage}
        return make_report(
            rows,
            unmasked,
            self.source,
            self.target,
            edges=self.edges if areas else None,
            # One value is enough for a bin.
            least=0.0 if isinstance(self._operator, Bins) else self.min_coverage,
            attrs=attrs,
            valid=valid,
        )

    def _valid(self, field: xr.DataArray) -> np.ndarray:
        """bool (source cells,): where one field has a value."""
        name = repr(field.name) if field.name is not None else "the field"
        check_field(name, field, self.source)
        many = {str(d): n for d, n in field.sizes.items() if d not in self.source.dims and n > 1}
        if many:
            raise ValueError(
                f"a report is about one field, and {name} has {many} besides the grid; choose one with .isel"
            )
        flat = field.isel({d: 0 for d in field.dims if d not in self.source.dims}).transpose(*self.source.dims)
        return np.asarray(flat.notnull().values).ravel()

    # ---- files ------------------------------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> None:
        """Write the regridder to a NetCDF file from which :meth:`load` makes it again, to the last bit.

        The file takes the place of an earlier one when it is complete. For other tools there are :meth:`to_esmf` and
        :meth:`to_scrip`.

        Raises
        ------
        StoreError
            If the path does not end in ``.nc``, the disk does not take the file, or a name or attribute of the grids'
            coordinates is no text or number.
        """
        said = {k: v for k, v in vars(self).items() if not k.startswith("_") and k not in ("source", "target")}
        said["_options"] = None if self._options is None else self._options._asdict()
        weight_files.save(path, weight_files.Saved(self._operator, self.source, self.target, said))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Regridder:
        """The regridder of a file of :meth:`save`, without computing anything.

        Raises
        ------
        StoreError
            If there is no such file, it is no regridder, a newer oceankit wrote it, or it is damaged.

        Examples
        --------
        >>> import os, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = os.path.join(folder.name, "weights.nc")
        >>> Regridder(Grid.global_regular(5.0), 10.0, "conservative", min_coverage=0.2).save(path)
        >>> Regridder.load(path).min_coverage
        0.2
        """
        operator, source, target, said = weight_files.load(path)
        options = said.pop("_options")
        return cls._made(operator, source, target, None if options is None else Options(**options), said)

    @classmethod
    def from_esmf(
        cls,
        path: str | PathLike[str],
        source: Grid | xr.Dataset | xr.DataArray,
        target: Grid | xr.Dataset | xr.DataArray | float,
        *,
        skipna: bool = True,
        min_coverage: float = 0.5,
        extrapolate: str | None = None,
        creep_levels: int | None = None,
    ) -> Regridder:
        """A regridder with weights that another tool wrote: ESMF, xESMF, TempestRemap, SCRIP or CDO.

        Weights are applied as everywhere in this class: as means over what is not missing. So a file of partial cells
        normalised by ``destarea`` gives means, not means diluted by the share that is not covered.

        Parameters
        ----------
        path
            NetCDF with ``row``, ``col``, ``S`` (ESMF) or ``dst_address``, ``src_address``, ``remap_matrix`` (SCRIP).
        source, target
            The grids that the file was written for, in its order. Sizes are compared, and centres where the file has
            them; its masked cells take no part.
        skipna, min_coverage, extrapolate, creep_levels
            As for the class. Coverage is the file's ``frac_b`` (``dst_grid_frac``) where it has one, otherwise the sum of
            the weights of a target, which ``fracarea`` makes one however little of it is covered.

        Raises
        ------
        StoreError
            If there is no such file, or its weights are not one number for each pair of cells that make means.
        GridError
            If it was written for other grids, or for the same in another order; the message says which.
        """
        _check_missing(skipna, min_coverage)
        extrapolation.check(extrapolate, creep_levels, method="from file", skipna=skipna)
        grid = source if isinstance(source, Grid) else Grid.from_dataset(source)
        wanted = as_target(target)
        found = foreign_weights.read(path)
        operator = foreign_weights.matrix(found, grid, wanted)
        said = {
            "method": f"from file: {found.method or 'method not said'}",
            "skipna": skipna,
            "min_coverage": min_coverage,
            "edges": found.edges,
            "extrapolate": extrapolate,
            "creep_levels": creep_levels,
        }
        return cls._made(operator, grid, wanted, None, said)

    @classmethod
    def _made(
        cls, operator: Operator, source: Grid, target: Grid, options: Options | None, said: dict[str, Any]
    ) -> Regridder:
        """A regridder of parts that are there already; without ``options`` where they are not known."""
        made = cls.__new__(cls)
        made.source, made.target = source, target
        made._operator, made._shared, made._options = operator, blocks.Shared(operator), options
        for name, value in said.items():
            setattr(made, name, value)
        return made

    def to_esmf(
        self, path: str | PathLike[str], *, normalization: exported_weights.Normalization | None = None
    ) -> None:
        """Write the weights in the layout of ESMF_RegridWeightGen, which xESMF and NCO read.

        Values that are missing and ``min_coverage`` are the reader's business: the file has the share of each target that
        is covered as ``frac_b``. Bicubic and second-order weights are expanded to one number for each pair of cells; what
        they do beside missing values is not in the file.

        Parameters
        ----------
        path
            Ends in ``.nc``.
        normalization
            ``"destarea"``: the weights of a target add up to the share of it that is covered (what conservative ones do by
            default). ``"fracarea"``: to one.

        Raises
        ------
        StoreError
            If the method is no weighted mean of values, the grids are on a plane, or the file cannot be written.
        """
        self._export(path, "ESMF", normalization)

    def to_scrip(
        self, path: str | PathLike[str], *, normalization: exported_weights.Normalization | None = None
    ) -> None:
        """Write the weights in the layout of SCRIP, for ``cdo remap,target,weights``.

        As :meth:`to_esmf`, but ``normalization`` is ``"fracarea"`` by default: CDO applies weights as they are. It uses them
        only for fields whose missing values are the source's mask, and else makes its own without a word: give the
        source a ``mask`` where fields have missing values.
        """
        self._export(path, "SCRIP", normalization)

    def _export(
        self, path: str | PathLike[str], convention: Literal["ESMF", "SCRIP"], normalization: str | None
    ) -> None:
        exported_weights.check_linear(self.method, self._operator, self.extrapolate)
        exported_weights.write(
            path, convention, self._matrix(), self.source, self.target,
            method=self.method.removeprefix("from file: "), edges=self.edges, normalization=normalization,
        )  # fmt: skip

    def _dataset(self, ds: xr.Dataset) -> xr.Dataset:
        mine = set(self.source.dims)
        out: dict[Hashable, xr.DataArray] = {}
        corners = self._corner_names(ds)
        for name, variable in ds.data_vars.items():
            shared = mine & set(variable.dims)
            if name in corners and (shared or self.source.kind == "mesh"):
                continue
            if not shared:
                check_side(repr(name), variable, self.source)
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
        out = self._apply(data, "value")
        # What was true of the cells of the source is not true of those of the target.
        out.attrs = {k: v for k, v in data.attrs.items() if k not in _OF_PLACES}
        if self.method == "count":
            out.attrs = _of_counts(out.attrs)
        return out

    def _apply(self, data: xr.DataArray, what: Literal["value", "coverage"]) -> xr.DataArray:
        name = repr(data.name) if data.name is not None else "the field"
        check_field(name, data, self.source)
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
        made = dtype if self.method != "count" else np.dtype(np.int64)
        output = blocks.Output(target.dims, target.shape, made if what == "value" else np.float64)
        pieces = [len(data.chunksizes.get(d, (0,))) for d in self.source.dims]
        filler = self._filler if what == "value" else None
        if max(pieces) > 1 and filler is None:
            out = gathered(
                data,
                self.source.dims,
                output,
                partial(self._part, what=what),
                self._operator.first,
                nothing=np.nan if what == "value" and made.kind == "f" else 0.0,
            )
        else:
            constants = {"operator": self._shared} | ({} if filler is None else {"filler": filler})
            (out,) = blocks.along(
                self._work(what), data, self.source.dims, [output], constants=constants, rechunk=True, threaded=True
            )
        kept = {name: c for name, c in out.coords.items() if name not in self._coords}
        if kept:
            out = out.drop_vars([c for c in out.coords if c not in kept]).assign_coords(self._coords)
        else:
            out = xr.DataArray(out.variable, coords=self._coords, name=out.name)
        return out.transpose(*_order(data.dims, self.source.dims, target.dims))

    def _work(self, what: str, hidden: np.ndarray | None = None) -> Callable[..., np.ndarray]:
        """What takes fields (n, sources) to (n, targets)."""
        hidden = self._hidden if hidden is None else hidden
        # Shares come from sums of areas: a cell that is covered by half to rounding is covered by half.
        return partial(_work, what=what, least=self.min_coverage - 1e-9, strict=not self.skipna, hidden=hidden)

    def _part(self, targets: np.ndarray, what: str) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        cells, part = self._operator.part(targets)
        hidden = None if self._hidden is None else self._hidden[targets]
        return cells, partial(self._work(what, hidden), operator=part)

    def __repr__(self) -> str:
        return f"<oceankit.Regridder {self.method}\n  from {self.source!r}\n  to   {self.target!r}>"


def regrid(
    data: Field,
    target: Grid | xr.Dataset | xr.DataArray | float,
    method: str = "bilinear",
    *,
    skipna: bool = True,
    min_coverage: float = 0.5,
    extrapolate: str | None = None,
    periodic: bool | None = None,
    edges: Edges = "great_circle",
    pole: str | None = "mean",
    limiter: str | None = None,
    neighbours: int = 8,
    power: float = 2.0,
    creep_levels: int | None = None,
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
        edges=edges, pole=pole, limiter=limiter, neighbours=neighbours, power=power, creep_levels=creep_levels,
    )(data)  # fmt: skip


def _check_missing(skipna: Any, min_coverage: Any) -> None:
    if not isinstance(skipna, bool | np.bool_):
        raise ValueError(f"skipna={skipna!r}; it is True or False")
    number = isinstance(min_coverage, float | int | np.floating | np.integer) and not isinstance(min_coverage, bool)
    if not number or not 0.0 <= min_coverage <= 1.0:
        raise ValueError(f"min_coverage={min_coverage!r}; it is a share between 0 and 1")


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


def _shares(operator: Operator) -> Rows:
    """Weights as shares of the target: of second order, those without the gradients; of bins, one over their number."""
    if isinstance(operator, Bins):
        return operator.shares()
    return operator.rows if isinstance(operator, SecondOrder) else operator.matrix()


def _work(
    fields: np.ndarray, *, operator: Operator, what: str, least: float, strict: bool, hidden: np.ndarray | None,
    filler: extrapolation.FromSource | extrapolation.Creep | None = None,
) -> np.ndarray:  # fmt: skip
    flat = fields.reshape(fields.shape[0], int(np.prod(fields.shape[1:])))
    if what == "coverage":
        out = operator.coverage(flat)
        if hidden is not None:
            out[:, hidden] = 0.0
        return out
    out = operator.apply(flat, least, strict)
    if hidden is not None:
        out[:, hidden] = np.nan if out.dtype.kind == "f" else 0
    if filler is not None:
        filler.fill(flat, out)
    return out


def _of_counts(attrs: dict[str, Any]) -> dict[str, Any]:
    """Attributes of the number of values of a field: its units are not the field's (CF appendix C)."""
    kept = {k: v for k, v in attrs.items() if k in ("long_name", "standard_name")}
    if "standard_name" in kept:
        kept["standard_name"] = f"{kept['standard_name']} number_of_observations"
    return kept | {"long_name": f"number of values of {kept.get('long_name', 'the field')}", "units": "1"}


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
