"""Where the levels of a field are: depths of their centres and of the edges of their layers, in metres."""

from collections.abc import Hashable
from typing import Literal, Protocol

import xarray as xr

from oceankit.fields.coordinates import CoordinateError, describe
from oceankit.fields.layers import Thicknesses, find_explicit, find_thicknesses
from oceankit.fields.parametric import find_parametric
from oceankit.fields.verticals import attribute, axis_edges, metres_down, vertical_dim

__all__ = ["Levels", "as_dataset", "depth_edges", "depths", "find_levels"]


class Levels(Protocol):
    """What is known of the levels of one field."""

    described_by: set[Hashable]
    """Variables that say where the levels are."""

    def centres(self) -> xr.DataArray:
        """Depths of the levels in metres, positive down."""

    def edges(self) -> xr.DataArray:
        """Depths of the edges of their layers, along ``<dim>_edges``."""


def depths(
    ds: xr.Dataset | xr.DataArray,
    variable: Hashable | None = None,
    *,
    positive: Literal["down", "up"] = "down",
    dim: Hashable | None = None,
) -> xr.DataArray:
    """Depths of the levels of a variable in metres.

    In this order: CF ``formula_terms`` (``ocean_sigma_coordinate``, ``ocean_s_coordinate`` and its ``_g1`` and ``_g2``,
    ``ocean_sigma_z_coordinate``, ``ocean_double_sigma_coordinate``); ROMS and FVCOM files without them, by the names of their
    variables; a field of depths (``z_rho``, ``gdept``, ``zCoordinates``); thicknesses of layers (``thkcello``, ``e3t``, MOM6's
    ``h``, ``hFacC`` with ``drF``), added up from the surface; an axis in m, cm or km.

    Parameters
    ----------
    ds
        A Dataset with the variable and what says where its levels are. A DataArray knows only its own coordinates.
    variable
        Whose levels; the first one that has a vertical dimension where None.
    positive
        ``"down"``: depths below the datum of the model (0 is its resting surface); ``"up"``: heights above it.
    dim
        The vertical dimension, where names and attributes do not tell.

    Returns
    -------
    DataArray
        float64, metres, lazy where its terms are. Dimensions in the order of the variable's, without those that depths do not
        depend on. NaN where a term is missing (land).

    Raises
    ------
    CoordinateError
        If there is no vertical dimension or several, a term is not in the Dataset, or units are not a length (dbar, Pa).

    Notes
    -----
    A sea surface height that the terms name must be there; where the terms name none it is 0. ROMS and FVCOM files without terms
    need ``zeta``: give ``ds.assign(zeta=0.0)`` for depths at rest. Layers that vary in time start at the sea surface height
    (``zos``, ``ssh``, ``zeta`` ...) where there is one, fixed ones at 0.

    Velocities of ROMS take the mean of the two depths beside them, those of FVCOM that of the three nodes. Where a subset of a
    ROMS file ends before the second of the two, depths are missing.

    References
    ----------
    CF conventions, appendix D.

    Examples
    --------
    >>> from oceankit.fields import s_coordinate
    >>> ds = s_coordinate(3, theta_s=0.0, theta_b=0.0, hc=10.0).assign(h=("x", [30.0, 300.0]), zeta=("x", [0.0, 0.0]))
    >>> ds["temp"] = ("s_rho", "x"), [[5.0, 4.0], [6.0, 5.0], [9.0, 8.0]]
    >>> depths(ds, "temp").values.round(1).tolist()
    [[21.9, 209.7], [9.4, 77.4], [1.9, 9.7]]
    """
    return _told(find_levels(*_parts(ds, variable, dim)).centres(), positive, "levels")


def depth_edges(
    ds: xr.Dataset | xr.DataArray,
    variable: Hashable | None = None,
    *,
    positive: Literal["down", "up"] = "down",
    dim: Hashable | None = None,
) -> xr.DataArray:
    """Depths of the edges of the layers of a variable in metres: between the layers, above the first and below the last.

    From the interfaces of the model where they are known (``s_w`` with ``Cs_w``, ``siglev``, ``z_w``), from thicknesses, bounds
    or an axis of interfaces. Otherwise half-way between the levels: in terrain-following levels from the sea floor to the
    surface, elsewhere with the outer edges as far from their levels as the inner ones, but an axis of depths does not begin
    above 0.

    Parameters, errors and notes are those of :func:`depths`.

    Returns
    -------
    DataArray
        As from :func:`depths`, with n + 1 edges along the dimension ``<vertical dimension>_edges``.

    Examples
    --------
    >>> import xarray as xr
    >>> field = xr.DataArray([8.0, 7.0, 5.0], dims="depth", coords={"depth": ("depth", [5.0, 15.0, 30.0], {"units": "m"})})
    >>> depth_edges(field).values.tolist()
    [0.0, 10.0, 22.5, 37.5]
    """
    return _told(find_levels(*_parts(ds, variable, dim)).edges(), positive, "edges of layers")


def _told(found: xr.DataArray, positive: str, what: str) -> xr.DataArray:
    if positive not in ("down", "up"):
        raise ValueError(f"positive={positive!r}; choose 'down' for depths or 'up' for heights")
    if positive == "up":
        out = (-found).rename("height")
        out.attrs = {"long_name": f"height of {what} above the datum", "units": "m", "positive": "up"}
        return out
    out = found.rename("depth")
    out.attrs = {"standard_name": "depth", "long_name": f"depth of {what}", "units": "m", "positive": "down"}
    return out


def _parts(
    ds: xr.Dataset | xr.DataArray, variable: Hashable | None, dim: Hashable | None
) -> tuple[xr.Dataset, xr.DataArray, Hashable]:
    """The Dataset, the field and its vertical dimension."""
    if isinstance(ds, xr.DataArray):
        field = ds
        ds = as_dataset(ds)
    elif isinstance(ds, xr.Dataset):
        field = ds[variable] if variable is not None and variable in ds.variables else _first(ds, variable, dim)
    else:
        raise ValueError(f"depths are those of an xarray Dataset or DataArray, not of a {type(ds).__name__}")
    found = vertical_dim(ds, field, dim)
    if found is None:
        raise CoordinateError(
            f"{describe(field)} has no vertical dimension among {field.dims}; name it with dim=, or add its coordinate"
        )
    return ds, field, found


def _first(ds: xr.Dataset, variable: Hashable | None, dim: Hashable | None) -> xr.DataArray:
    if variable is not None:
        raise CoordinateError(
            f"{describe(ds)} has no variable {variable!r}; it has {', '.join(map(repr, ds.data_vars))}"
        )
    # The fullest field first: profiles and curves along s_rho also have a vertical dimension.
    for name in sorted(ds.data_vars, key=lambda n: -ds[n].ndim):
        field = ds[name]
        found = dim if dim in field.dims else None if dim is not None else vertical_dim(ds, field)
        if found is not None:
            return field
    raise CoordinateError(f"no variable of {describe(ds)} has a vertical dimension; name it with dim=")


def as_dataset(field: xr.DataArray) -> xr.Dataset:
    """The coordinates of a field as a Dataset."""
    return field.coords.to_dataset()


def find_levels(ds: xr.Dataset, field: xr.DataArray, dim: Hashable) -> Levels:
    """Where the levels of ``field`` along its vertical dimension ``dim`` are, from the variables of ``ds``.

    Raises
    ------
    CoordinateError
        As :func:`depths`.
    """
    parametric, absent = find_parametric(ds, field, dim)
    if parametric is not None:
        return parametric
    thick = find_thicknesses(ds, field, dim)
    explicit = find_explicit(ds, field, dim)
    if explicit is not None:
        return _Explicit(ds, ds[explicit], dim, thick)
    if thick is not None:
        return thick
    if absent:
        raise CoordinateError(absent)
    axis = _axis(ds, dim)
    if axis is None:
        raise CoordinateError(
            f"nothing says where the levels of {describe(field)} along {dim!r} are; give the Dataset with its vertical "
            "coordinate, or the depths with depth="
        )
    return _Explicit(ds, axis, dim, None)


def _axis(ds: xr.Dataset, dim: Hashable) -> xr.DataArray | None:
    """The 1-D coordinate along ``dim``."""
    if dim in ds.variables:
        return ds[dim]
    along = [n for n, v in ds.variables.items() if v.dims == (dim,) and v.dtype.kind in "fiu"]
    told = [
        n
        for n in along
        if ds[n].attrs.get("positive") or ds[n].attrs.get("standard_name") in ("depth", "height", "altitude")
    ]
    return ds[told[0]] if len(told) == 1 else None


class _Explicit:
    """Depths that are given, along an axis or for each column."""

    def __init__(self, ds: xr.Dataset, given: xr.DataArray, dim: Hashable, thick: Thicknesses | None) -> None:
        self._ds, self._given, self._dim, self._thick = ds, given, dim, thick
        self.described_by: set[Hashable] = {given.name}
        bounds = attribute(given, "bounds")
        if thick is not None:
            self.described_by |= thick.described_by
        if bounds:
            self.described_by.add(bounds)

    def centres(self) -> xr.DataArray:
        return metres_down(self._given)

    def edges(self) -> xr.DataArray:
        if self._thick is not None:
            return self._thick.edges()
        found, names = axis_edges(self._ds, self._given, self._dim)
        self.described_by |= names
        return found
