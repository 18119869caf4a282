"""Long writes that are taken up again: a lazy product is written tile by tile, and a tile that is there is not made again."""

import json
import os
import shutil
from collections.abc import Hashable, Iterator, Mapping
from itertools import accumulate, pairwise, product
from pathlib import Path
from typing import Any, NamedTuple

import dask
import xarray as xr
import zarr

from oceankit.fields.files import StoreError
from oceankit.fields.hashing import digests

__all__ = ["STORE", "begin", "begun", "fill", "unfinished"]

STORE, _LEDGER, _DONE = "store.zarr", "ledger.json", "tiles"


class Tile(NamedTuple):
    """A chunk of each lazy variable that has one there."""

    name: str
    region: dict[Hashable, slice]
    variables: list[Hashable]


def unfinished(path: str | os.PathLike[str]) -> Path:
    """The folder where a product grows until it is complete: its store, what it is to become, and the tiles that are there."""
    target = Path(os.path.realpath(Path(path).expanduser()))
    return target.with_name(f".{target.name}.unfinished")


def begin(place: Path, ds: xr.Dataset, made_by: Mapping[str, Any]) -> None:
    """Say of what the store that was just laid out is to be filled; from now on it is taken up again."""
    shutil.rmtree(place / _DONE, ignore_errors=True)
    (place / _DONE).mkdir()
    part = place / f"{_LEDGER}.part"
    part.write_text(json.dumps(_identity(ds, made_by), indent=1))
    os.replace(part, place / _LEDGER)


def begun(place: Path, ds: xr.Dataset, made_by: Mapping[str, Any], path: str) -> bool:
    """Whether the same product was begun there.

    Raises
    ------
    StoreError
        If another one was.
    """
    if not (place / _LEDGER).exists() or not (place / STORE).exists():
        return False
    there, wanted = json.loads((place / _LEDGER).read_text()), _identity(ds, made_by)
    for key, value in wanted.items():
        if there.get(key) != value:
            raise StoreError(
                f"an earlier write of {path!r} was not finished, and its {key} differ: {_short(there.get(key))} there, "
                f"{_short(value)} now; finish it with the same call, or delete {str(place)!r} to begin anew"
            )
    return True


def fill(place: Path, ds: xr.Dataset) -> None:
    """Compute and write the tiles that are not there, on the Dask scheduler in force."""
    done = {entry.name for entry in (place / _DONE).iterdir()}
    tasks: list[Any] = []
    last: list[Any] = []
    for tile in _tiles(ds):
        if tile.name in done:
            continue
        part = ds[tile.variables].reset_coords(drop=True).drop_vars(list(ds.indexes), errors="ignore")
        part = part.isel({d: s for d, s in tile.region.items() if d in part.dims})
        # As one: what its variables have in common is computed once.
        # What no dimension cuts may need all the others: after them, or their chunks would wait for it in memory.
        (tasks if tile.region else last).append(dask.delayed(_save, pure=False)(str(place), tile, part))
    for some in (tasks, last):
        if some:
            dask.compute(*some)


def _save(place: str, tile: Tile, part: xr.Dataset) -> None:
    """Write a tile, then say that it is there."""
    region = {str(d): s for d, s in tile.region.items() if d in part.dims}
    store = Path(place) / STORE
    inside = [n for n, v in part.data_vars.items() if set(region) & set(v.dims)]
    if inside:
        part[inside].drop_encoding().to_zarr(
            store, mode="r+", consolidated=False, write_empty_chunks=True, region=region
        )
    for name in set(part.data_vars) - set(inside):
        zarr.open_group(store, mode="r+")[str(name)][...] = part[name].values
    (Path(place) / _DONE / tile.name).touch()


def _tiles(ds: xr.Dataset) -> Iterator[Tile]:
    """Chunks of the lazy variables, together where they lie together.

    Raises
    ------
    StoreError
        If two variables are cut at different places.
    """
    lazy = {n: v for n, v in ds.data_vars.items() if v.chunks is not None}
    chunks: dict[Hashable, tuple[int, ...]] = {}
    for name, variable in lazy.items():
        for dim, sizes in variable.chunksizes.items():
            if chunks.setdefault(dim, sizes) != sizes:
                raise StoreError(
                    f"{name!r} is cut into {sizes} along {dim!r} and another variable into {chunks[dim]}; give both the same "
                    "chunks, for example with .unify_chunks()"
                )
    cut = [d for d, sizes in chunks.items() if len(sizes) > 1]
    spans = [[slice(a, b) for a, b in pairwise(accumulate(chunks[d], initial=0))] for d in cut]
    for at in product(*[range(len(s)) for s in spans]):
        region = {d: spans[k][i] for k, (d, i) in enumerate(zip(cut, at, strict=True))}
        # A variable that one of the dimensions does not cut is written with its first tile.
        mine = [
            n
            for n, v in lazy.items()
            if set(cut) & set(v.dims) and all(i == 0 or d in v.dims for d, i in zip(cut, at, strict=True))
        ]
        if mine:
            yield Tile("-".join(map(str, at)), region, mine)
    whole = [n for n, v in lazy.items() if not set(cut) & set(v.dims)]
    if whole:
        yield Tile("whole", {}, whole)


def _identity(ds: xr.Dataset, made_by: Mapping[str, Any]) -> dict[str, Any]:
    """What tells one product from another without computing it."""
    variables = {
        str(n): [list(map(str, v.dims)), list(v.shape), str(v.dtype), [list(c) for c in v.chunks or ()]]
        for n, v in ds.data_vars.items()
    }
    known = {n: v for n, v in ds.variables.items() if not dask.is_dask_collection(v)}
    values = digests({str(n): v.values for n, v in known.items()})
    return json.loads(json.dumps({"variables": variables, "coordinates": values, **made_by}, default=str))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 200 else f"{text[:200]}..."
