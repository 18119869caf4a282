"""The command `oceankit regrid`: whole files to another grid, for those who come from `cdo remap`."""

import os
import re
import sys
import time
from collections.abc import Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import xarray as xr

from oceankit import fields
from oceankit._version import __version__
from oceankit.cli._nodes import did_you_mean
from oceankit.cli.gridding import kept, levelled
from oceankit.cli.places import found, replaced, size_text
from oceankit.cli.progress import progress
from oceankit.cli.storing import with_cell_bounds
from oceankit.fields import CoordinateError, Grid, GridError, coordinates, open_fields
from oceankit.fields.verticals import vertical_dim
from oceankit.regridding import Regridder, VectorRegridder

__all__ = ["Order", "RefusedError", "order_of", "regrid_files"]


class RefusedError(ValueError):
    """The command asks for what cannot be; the message says what to do."""


@dataclass(frozen=True)
class Order:
    """What the command was asked for."""

    sources: Sequence[str]
    out: Path
    to: str
    method: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """Keywords of a Regridder."""
    variables: Sequence[str] = ()
    vectors: Sequence[tuple[str, str]] = ()
    angle: Any = None
    """None, "grid", 0.0, or a list of names of variables."""
    levels: dict[str, Any] | None = None
    """As the section `levels` of a run file."""
    weights: Path | None = None
    report: bool = False
    report_map: Path | None = None
    force: bool = False


def order_of(given: dict[str, Any]) -> Order:
    """What the options of the command say."""
    options = {n: given[n] for n in ("min_coverage", "extrapolate", "limiter", "neighbours", "power")} | {
        "skipna": not given["keep_missing"]
    }
    levels = None
    if given["levels"] is not None:
        outside = None if given["levels_extrapolate"] is None else [given["levels_extrapolate"]]
        levels = {"depths": given["levels"], "edges": None, "method": given["levels_method"]}
        levels |= {"dim": None, "skipna": None, "min_coverage": given["min_coverage"], "extrapolate": outside}
    angle = given["angle"]
    if angle not in (None, "grid"):
        angle = 0.0 if angle == "0" else [name.strip() for name in angle.split(",")][:2]
    same = ("sources", "out", "to", "method", "variables", "vectors", "weights", "report", "report_map", "force")
    return Order(options=options, angle=angle, levels=levels, **{n: given[n] for n in same})


def regrid_files(order: Order) -> None:
    """Regrid files into one, lazily, telling on the terminal what is done.

    Raises
    ------
    RefusedError, ValueError
        If something does not fit; nothing is written then.
    """
    begin = time.perf_counter()
    sources = [name for path in order.sources for name in found(path, Path.cwd())]
    _check_places(order, sources)
    if order.options.get("limiter") is not None and order.method != "conservative2":
        raise RefusedError("--limiter is for --method conservative2; leave it out")
    target = _target(order.to)
    ds = open_fields(sources)
    click.echo(f"oceankit {__version__}: {len(sources)} file{'s' * (len(sources) != 1)} to {target!r}")
    _check_names(ds, order)
    if order.levels is not None:
        ds = _on_levels(ds, order, order.levels)
    groups = _groups(ds, order)
    if order.weights is not None and len(groups) > 1:
        listed = "; ".join(", ".join(names) for _, names in groups)
        raise RefusedError(
            f"the variables lie on {len(groups)} grids ({listed}), and a file of weights is for one; choose with --variables"
        )
    parts = [_vectors(ds, pair, target, order) for pair in order.vectors]
    inputs = list(sources)
    for grid, names in groups:
        parts.append(_scalars(ds, grid, names, target, order, inputs))
    product = _assembled(ds, parts, target, everything=not order.variables)
    with progress() if sys.stdout.isatty() else nullcontext():
        fields.write(product, order.out, inputs=inputs, options=_recorded(order))
    click.echo(f"  {order.out}, {size_text(order.out)}  [{time.perf_counter() - begin:.1f} s]")


def _check_places(order: Order, sources: Sequence[str]) -> None:
    """Refuse before any work what would overwrite something."""
    outputs = [p for p in (order.out, order.report_map) if p is not None]
    for path in outputs:
        if any(os.path.realpath(path) == os.path.realpath(s) for s in sources):
            raise RefusedError(f"{str(path)!r} is one of the sources; name another file")
        if path.exists() and not order.force:
            raise RefusedError(f"{str(path)!r} is there already; name another file, or replace it with --force")
        if not path.absolute().parent.is_dir():
            raise RefusedError(f"the folder of {str(path)!r} does not exist; create it first")
    if order.out.suffix.lower() not in (".nc", ".zarr"):
        raise RefusedError(f"{str(order.out)!r} names no format that is written here; use .nc or .zarr")


# ---- where to -------------------------------------------------------------------------------------------------------


def _target(to: str) -> Grid:
    """The grid that `--to` names: a step, r360x180, west,east,step/south,north,step, or a file."""
    if re.fullmatch(r"\d+\.?\d*|\.\d+", to):
        return Grid.global_regular(float(to))
    of_cdo = re.fullmatch(r"r(\d+)x(\d+)", to)
    if of_cdo and min(int(of_cdo[1]), int(of_cdo[2])) > 0:
        nx, ny = int(of_cdo[1]), int(of_cdo[2])
        # CDO's regular grids have their first centre on the meridian of Greenwich.
        half = 180.0 / nx
        return Grid.regular(lon=(-half, 360.0 - half, 360.0 / nx), lat=(-90.0, 90.0, 180.0 / ny))
    axes = [part.split(",") for part in to.split("/")]
    if len(axes) == 2 and all(len(a) == 3 for a in axes):
        try:
            west_east, south_north = (tuple(float(v) for v in a) for a in axes)
        except ValueError:
            pass
        else:
            return Grid.regular(lon=west_east, lat=south_north)  # type: ignore[arg-type]
    try:
        (path,) = found(to, Path.cwd())
    except ValueError:
        raise RefusedError(
            f"--to {to!r} is no grid and no file; give a step in degrees (0.25), r360x180, "
            "west,east,step/south,north,step (117,127,0.1/31,41,0.1), or a file that has the grid"
        ) from None
    with open_fields(path) as ds:
        return Grid.from_dataset(ds)


# ---- what -----------------------------------------------------------------------------------------------------------


def _groups(ds: xr.Dataset, order: Order) -> list[tuple[Grid, list[str]]]:
    """The variables that are regridded as scalars, by the grids on which they lie."""
    paired = {name for pair in order.vectors for name in pair}
    wanted = list(order.variables) or [str(n) for n in ds.data_vars if n not in paired and _is_field(ds, n)]
    groups: dict[Hashable, tuple[Grid, list[str]]] = {}
    for name in wanted:
        grid = _grid_of(ds, name)
        key = (grid.lon.name, grid.lat.name, grid.dims)
        groups.setdefault(key, (grid, []))[1].append(name)
    if not groups and not paired:
        raise RefusedError(f"no variable of the files lies on a grid; they have {', '.join(map(str, ds.data_vars))}")
    return list(groups.values())


def _check_names(ds: xr.Dataset, order: Order) -> None:
    for name in (*order.variables, *(name for pair in order.vectors for name in pair)):
        if name not in ds.data_vars:
            raise RefusedError(f"the files have no variable {name!r}; {did_you_mean(name, map(str, ds.data_vars))}")


def _grid_of(ds: xr.Dataset, name: str) -> Grid:
    """The grid of a variable, by its own coordinates before those of the file."""
    own = _horizontal(ds[name])
    try:
        common = Grid.from_dataset(ds)
    except ValueError:
        common = None  # several grids in one file, or one that is none
    if (
        common is not None
        and set(common.dims) <= set(ds[name].dims)
        and own in (None, (common.lon.name, common.lat.name))
    ):
        return common
    if own is None:
        raise RefusedError(f"{name!r} with the dimensions {ds[name].dims} lies on no grid of the files; leave it out")
    return Grid.from_dataset(ds, lon=own[0], lat=own[1])


def _horizontal(variable: xr.DataArray) -> tuple[Hashable, Hashable] | None:
    """The names of a variable's own longitude and latitude."""
    try:
        lon, lat = coordinates.horizontal(variable)
    except CoordinateError:
        return None
    return (lon.name, lat.name) if set(lon.dims) | set(lat.dims) <= set(variable.dims) else None


def _is_field(ds: xr.Dataset, name: Hashable) -> bool:
    """Whether a variable has a grid and numbers, and is not what says where the cells are."""
    variable = ds[name]
    if variable.dtype.kind not in "fiub" or variable.ndim == 0 or name in _bounds(ds):
        return False
    try:
        _grid_of(ds, str(name))
    except ValueError:
        return False
    return True


def _bounds(ds: xr.Dataset) -> set[Hashable]:
    return {str(v.attrs.get("bounds", v.encoding.get("bounds", ""))) for v in ds.variables.values()}


def _on_levels(ds: xr.Dataset, order: Order, levels: dict[str, Any]) -> xr.Dataset:
    """The files with what is wanted of them on other depths."""
    paired = [name for pair in order.vectors for name in pair]
    wanted = [*order.variables, *paired] if order.variables else [str(n) for n in ds.data_vars if _is_field(ds, n)]
    deep = [n for n in wanted if vertical_dim(ds, ds[n]) is not None]
    if not deep:
        raise RefusedError(f"--levels: none of {', '.join(wanted)} has a vertical dimension; leave it out")
    return levelled(ds, deep, levels)


# ---- how ------------------------------------------------------------------------------------------------------------


def _scalars(
    ds: xr.Dataset, grid: Grid, names: list[str], target: Grid, order: Order, inputs: list[str]
) -> dict[str, xr.DataArray]:
    begin = time.perf_counter()
    there = order.weights is not None and order.weights.exists()
    try:
        regridder, told = kept(order.weights, grid, target, order.method, order.options)
    except (GridError, CoordinateError) as error:
        raise RefusedError(f"{', '.join(names)}: {error}, or leave them out with --variables") from error
    if there:
        inputs.append(str(order.weights))
    seconds = f"[{time.perf_counter() - begin:.1f} s]"
    click.echo(f"  {', '.join(names)}: {regridder.method}, from {grid!r}{'; ' + told if told else ''}  {seconds}")
    if order.report or order.report_map is not None:
        _report(ds[names[0]], regridder, order)
    return {name: regridder(ds[name]) for name in names}


def _vectors(ds: xr.Dataset, pair: tuple[str, str], target: Grid, order: Order) -> dict[str, xr.DataArray]:
    begin = time.perf_counter()
    u, v = (ds[n] for n in pair)
    grid = _grid_of(ds, pair[0])
    angle = order.angle if order.angle in (None, "grid", 0.0) else _named_angle(ds, order.angle)
    regridder = VectorRegridder(grid, target, order.method or "bilinear", source_angle=angle, **order.options)
    seconds = f"[{time.perf_counter() - begin:.1f} s]"
    click.echo(f"  {pair[0]}, {pair[1]} as vectors: {regridder.method}, from {grid!r}  {seconds}")
    return dict(zip(pair, regridder(u, v), strict=True))


def _named_angle(ds: xr.Dataset, names: Sequence[str]) -> Any:
    """The variables of an angle: one, or its cosine and sine."""
    for name in names:
        if name not in ds.variables:
            raise RefusedError(
                f"--angle {name!r} is no variable of the files; {did_you_mean(name, map(str, ds.variables))}"
            )
    return ds[names[0]] if len(names) == 1 else tuple(ds[n] for n in names)


def _report(first: xr.DataArray, regridder: Regridder, order: Order) -> None:
    dims = regridder.source.dims
    report = regridder.report(first.isel({d: 0 for d in first.dims if d not in dims}))
    if order.report:
        said = report.attrs
        meanings = str(report["reason"].attrs["flag_meanings"]).split()
        counts = [(m.replace("_", " "), said[f"n_{m}"]) for m in meanings if said.get(f"n_{m}")]
        click.echo(f"  report, for the first {first.name}: {said['n_weights']} weights")
        for words, number in counts:
            click.echo(f"    {words:28s}{number:>12d} target cells")
        click.echo(f"    {'used by none':28s}{said['n_source_cells_unused']:>12d} source cells")
        if "closure_target_total_error" in said:
            click.echo(f"    {'areas close to':28s}{abs(said['closure_target_total_error']):>12.1e}")
    if order.report_map is not None:
        from oceankit._extras import require
        from oceankit.products import plot_regridding

        figure = plot_regridding(report)
        with replaced(order.report_map) as part:
            figure.savefig(part, dpi=150, format="png")
        require("matplotlib.pyplot", extra="plot", purpose="figures").close(figure)
        click.echo(f"  {order.report_map}, {size_text(order.report_map)}")


def _assembled(
    ds: xr.Dataset, parts: Sequence[dict[str, xr.DataArray]], target: Grid, *, everything: bool
) -> xr.Dataset:
    """What was regridded and, of ``everything``, what has nothing to do with places, in the order of the files."""
    made = {name: field for part in parts for name, field in part.items()}
    old = {d for name in made for d in _grid_of(ds, name).dims}
    mappings = {str(v.attrs.get("grid_mapping", v.encoding.get("grid_mapping", ""))) for v in ds.data_vars.values()}
    beside = {name for field in made.values() for name in _bounds(field.coords.to_dataset())}
    out: dict[Hashable, xr.DataArray] = {}
    left = []
    for name, variable in ds.data_vars.items():
        if name in made:
            out[name] = made[str(name)]
        elif set(variable.dims) & old or name in mappings or _horizontal(variable) is not None:
            left.append(str(name))
        elif everything or name in beside:
            out[name] = variable.reset_coords(drop=True)
    if left and everything:
        click.echo(f"  left behind: {', '.join(left)}")
    product = xr.Dataset(out, attrs=ds.attrs)
    return with_cell_bounds(product, target) if target.kind == "rectilinear" and not target.planar else product


def _recorded(order: Order) -> dict[str, Any]:
    """What the product's provenance says of how it was made."""
    said: dict[str, Any] = {"command": "regrid", "to": order.to, "method": order.method or "bilinear", **order.options}
    if order.vectors:
        said["vectors"] = [list(pair) for pair in order.vectors]
        said["angle"] = order.angle
    if order.levels is not None:
        said["levels"] = {k: v for k, v in order.levels.items() if v is not None}
    return said
