"""Packed integers, taken as they are: what their attributes say of the values."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.fields.coordinates import describe

__all__ = ["ATTRIBUTES", "UNPACKED", "Packing", "native", "packing_of", "unpacked"]

ATTRIBUTES = ("scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned")

# Out of the range of 16-bit integers: no value is missing.
_NEVER = 1 << 20


class Packing(NamedTuple):
    """``value = scale * stored + offset`` in float64, where ``stored`` is neither of the missing values."""

    packed: bool
    scale: float
    offset: float
    missing: int
    other: int

    @property
    def numbers(self) -> tuple[float, float, float, float]:
        """Missing, other, scale and offset for kernels; of values that are not packed, NaN alone is missing."""
        if not self.packed:
            return np.nan, np.nan, 1.0, 0.0
        return float(self.missing), float(self.other), self.scale, self.offset

    def _is_missing(self, stored: np.ndarray) -> np.ndarray:
        return (stored == self.missing) | (stored == self.other)

    def unpacked(self, stored: np.ndarray) -> np.ndarray:
        """The values as float64, missing ones NaN; floats as they are."""
        if not self.packed:
            return stored
        values = stored * self.scale + self.offset
        return np.where(self._is_missing(stored), np.nan, values)


UNPACKED = Packing(False, 1.0, 0.0, _NEVER, _NEVER)


def packing_of(field: xr.DataArray) -> Packing:
    """How the values of ``field`` are packed.

    Raises
    ------
    ValueError
        If it holds no real numbers, or packed integers of more than 16 bits, or more than two values that stand for missing.
    """
    if field.dtype.kind not in "fiu":
        raise ValueError(f"{describe(field)} holds {field.dtype} values, not real numbers: use astype(float)")
    packed = [k for k in ATTRIBUTES if k in field.attrs]
    if field.dtype.kind == "f":
        clash = [k for k in ("scale_factor", "add_offset") if k in field.attrs]
        if clash:
            raise ValueError(
                f"{describe(field)} holds {field.dtype} values with {', '.join(clash)} still in its attributes, so it is not "
                "certain whether they are unpacked: open it with mask_and_scale=True, or drop the attributes"
            )
        return UNPACKED
    if not packed:
        return UNPACKED
    if field.dtype.itemsize > 2 or "_Unsigned" in field.attrs:
        raise ValueError(
            f"{describe(field)} holds packed {field.dtype} values, with {', '.join(packed)} in its attributes, and only those "
            "of at most 16 bits, not tagged _Unsigned, are taken as they are: open it with mask_and_scale=True"
        )
    stands: list[int] = []
    for key in ("_FillValue", "missing_value"):
        for value in np.atleast_1d(field.attrs.get(key, [])).tolist():
            if value == value and int(value) not in stands:
                stands.append(int(value))
    if len(stands) > 2:
        raise ValueError(f"{describe(field)} has {len(stands)} values for missing, {stands}: keep at most two of them")
    first, second = (*stands, *[stands[0] if stands else _NEVER] * (2 - len(stands)))[:2]
    scale, offset = _number(field, "scale_factor", 1.0), _number(field, "add_offset", 0.0)
    if scale == 0.0:
        raise ValueError(f"{describe(field)} has scale_factor 0: correct the attribute")
    return Packing(True, scale, offset, first, second)


def _number(field: xr.DataArray, key: str, default: float) -> float:
    value: Any = np.asarray(field.attrs.get(key, default))
    if value.size != 1 or not np.isfinite(float(value.item())):
        raise ValueError(
            f"{describe(field)} has {key} {field.attrs[key]!r}, which is not one number: correct the attribute"
        )
    return float(value.item())


def unpacked(field: xr.DataArray) -> xr.DataArray:
    """A field with its packed integers as float64 values, missing ones NaN; any other field as it is.

    Raises
    ------
    ValueError
        As :func:`packing_of`.
    """
    packing = packing_of(field)
    if not packing.packed:
        return field
    stored = field.drop_attrs(deep=False)
    missing = (stored == packing.missing) | (stored == packing.other)
    values = (stored * packing.scale + packing.offset).where(~missing)
    return values.rename(field.name).assign_attrs({k: v for k, v in field.attrs.items() if k not in ATTRIBUTES})


def native(rows: np.ndarray) -> np.ndarray:
    """Rows in a dtype that kernels know: NetCDF-3 files are big-endian."""
    if rows.dtype.kind in "iu" and rows.dtype.itemsize <= 2:
        return rows.astype(rows.dtype.newbyteorder("="), copy=False)
    return rows.astype(np.float32 if rows.dtype.kind == "f" and rows.dtype.itemsize <= 4 else np.float64, copy=False)
