"""What is no grid: refusals that name the coordinate, the value and the remedy."""

from collections.abc import Hashable, Mapping

import numpy as np
import xarray as xr

from oceankit.fields.coordinates import CoordinateError
from oceankit.fields.corners import GridError
from oceankit.fields.places import Places
from oceankit.fields.topology import circular_order

__all__ = ["aligned", "as_mask", "check_centres", "refuse_data_without_place"]


def check_centres(places: Places) -> None:
    """Refuse centres that are missing where a grid of this kind cannot do without, and axes that are none."""
    lon, lat = places.lon, places.lat
    if lon.size == 0 or lat.size == 0:
        raise GridError(f"the grid is empty: {lon.name!r} has {lon.size} values and {lat.name!r} {lat.size}")
    if places.kind == "rectilinear":
        for array in (lon, lat):
            bad = ~np.isfinite(array.values)
            if bad.any():
                raise CoordinateError(
                    f"{array.name!r} holds {int(bad.sum())} missing or infinite value(s), the first at position "
                    f"{int(np.argmax(bad))}; repair the coordinate, or drop those positions with .isel or .dropna"
                )
            _check_axis(array, circular=array is lon and not places.planar)
        return
    bad = ~(np.isfinite(lon.values) & np.isfinite(lat.values))
    if bad.all():
        raise CoordinateError(f"{lon.name!r} and {lat.name!r} hold no finite value at all")
    if bad.any() and places.kind == "points":
        raise CoordinateError(
            f"{lon.name!r} and {lat.name!r} hold {int(bad.sum())} missing value(s), the first at position "
            f"{int(np.argmax(bad))}; drop the points without a position"
        )


def _check_axis(array: xr.DataArray, *, circular: bool) -> None:
    values = array.values
    if circular:
        values = circular_order(values)[1]
    steps = np.diff(values)
    if (steps > 0).all() or (steps < 0).all():
        return
    if circular and values.size > 2 and abs(array.values[-1] - array.values[0]) == 360.0:
        raise GridError(
            f"{array.name!r} ends where it begins, {array.values[-1]:g} after {array.values[0]:g}: a cyclic column for plotting; "
            f"drop it with .isel({array.dims[0]}=slice(0, -1))"
        )
    at = int(np.argmax(steps == 0)) if (steps == 0).any() else int(np.argmax(np.sign(steps) != np.sign(steps[0])))
    what = "repeats the value" if steps[at] == 0 else "neither rises nor falls throughout: it turns at"
    raise GridError(
        f"{array.name!r} is no axis of a grid: it {what} {values[at]:g}; if these are the positions of scattered "
        "observations or of one platform, they are not a grid: use oceankit.observations or Grid.points"
    )


def aligned(array: xr.DataArray, axes: Mapping[Hashable, np.ndarray], what: str) -> xr.DataArray:
    """``array`` in the order of other axes: by its own coordinates where it has them, refused where they are others."""
    for dim, values in axes.items():
        if dim not in array.dims or dim not in array.coords or array[dim].dtype.kind not in "fiuM":
            continue
        mine = array[dim].values
        if mine.shape == values.shape and np.array_equal(mine, values):
            continue
        if mine.shape == values.shape and mine.dtype.kind in "fiu" and np.allclose(mine, values, rtol=0, atol=1e-6):
            continue
        order = [np.flatnonzero(mine == v) for v in values]
        if any(o.size != 1 for o in order):
            raise GridError(
                f"{what} lies elsewhere along {dim!r}: from {mine[0]} to {mine[-1]}, not from {values[0]} to {values[-1]}; "
                "bring it to the same positions first"
            )
        array = array.isel({dim: np.concatenate(order)})
    return array


def as_mask(mask: xr.DataArray, places: Places, dims: tuple[Hashable, ...], shape: tuple[int, ...]) -> xr.DataArray:
    """A mask as bool over the grid's dimensions."""
    axes = {c.dims[0]: c.values for c in (places.lon, places.lat) if c.ndim == 1 and c.name in c.dims}
    extra = [d for d in mask.dims if d not in dims]
    if any(mask.sizes[d] > 1 for d in extra):
        raise GridError(
            f"the mask {mask.name!r} also depends on {extra}; select one position of them, a grid has one mask"
        )
    mask = aligned(mask.squeeze(extra, drop=True), axes, f"the mask {mask.name!r}")
    absent = [d for d in dims if d not in mask.dims]
    if absent or tuple(mask.sizes[d] for d in dims) != shape:
        raise GridError(
            f"the mask has dimensions {dict(mask.sizes)}, the grid has {dict(zip(dims, shape, strict=True))}"
        )
    values = mask.transpose(*dims).values
    on = np.isfinite(values) & (values != 0) if values.dtype.kind == "f" else values.astype(bool)
    if not on.any():
        raise GridError(f"the mask {mask.name!r} leaves no cell at all; True or nonzero means that a cell takes part")
    return xr.DataArray(on, dims=dims, name="mask", attrs={"long_name": "cell takes part"})


def refuse_data_without_place(ds: xr.Dataset, places: Places, mask: xr.DataArray | None) -> None:
    """Cells without coordinates or corners are usual over land; data in them would be lost without a word."""
    if places.kind != "curvilinear":
        return
    lon, lat, dims = places.lon, places.lat, places.lon.dims
    without = ~(np.isfinite(lon.values) & np.isfinite(lat.values))
    where = f"{lon.name!r} or {lat.name!r}"
    if places.bounds is not None and not all(np.isfinite(v).all() for v in places.bounds):
        lost = ~(np.isfinite(places.bounds[0]).all(axis=-1) & np.isfinite(places.bounds[1]).all(axis=-1))
        if lost.any() and not without.any():
            without, where = lost, f"the corners of {lon.name!r} and {lat.name!r}"
    if not without.any():
        return
    if mask is not None:
        without = without & mask.values
    for name, variable in ds.data_vars.items():
        if name in places.described_by or not set(dims) <= set(variable.dims) or variable.dtype.kind != "f":
            continue
        first = variable.isel({d: 0 for d in variable.dims if d not in dims}).transpose(*dims)
        bad = without & np.isfinite(first.values)
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            raise GridError(
                f"{int(bad.sum())} cells of {where} are missing, yet {name!r} has data there "
                f"(the first at {dims} = {at}); "
                "repair the coordinates, or leave those cells out with mask="
            )
