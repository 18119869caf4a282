"""Long writes that are taken up again: a lazy product is written tile by tile, and a tile that is there is not made again."""

import json
import os
import shutil
import uuid
from collections.abc import Hashable, Iterator, Mapping
from functools import partial
from itertools import accumulate, pairwise, product
from pathlib import Path
from typing import Any, NamedTuple

import dask
import dask.array
import xarray as xr
import zarr
from dask.highlevelgraph import HighLevelGraph

from oceankit.fields.conventions import is_time
from oceankit.fields.files import StoreError, reporting, sync, write_whole
from oceankit.fields.hashing import digests

__all__ = ["STORE", "begin", "begun", "fill", "filled", "forget", "unfinished"]

STORE, _LEDGER, _DONE, _RUN = "store.zarr", "ledger.json", "tiles", "run-"
_TIMEDELTAS = xr.coders.CFTimedeltaCoder(decode_via_units=False)


class Tile(NamedTuple):
    """A chunk of each lazy variable that has one there."""

    name: str
    at: dict[Hashable, int]
    """Number of the chunk along each dimension that is cut."""
    region: dict[Hashable, slice]
    variables: list[Hashable]


def unfinished(path: str | os.PathLike[str]) -> Path:
    """The folder where a product grows until it is complete: its store, what it is to become, and the tiles that are there."""
    target = Path(os.path.realpath(Path(path).expanduser()))
    return target.with_name(f".{target.name}.unfinished")


def begin(place: Path, ds: xr.Dataset, made_by: Mapping[str, Any]) -> None:
    """Say of what the store that was just laid out is to be filled; from now on it is taken up again."""
    forget(place)
    shutil.rmtree(place / _DONE, ignore_errors=True)
    (place / _DONE).mkdir()
    for old in place.glob(f"{_RUN}*"):
        old.unlink()
    (place / f"{_RUN}{uuid.uuid4().hex}").touch()
    for entry in (place / STORE).rglob("*"):
        sync(entry)
    write_whole(place / _LEDGER, json.dumps(_identity(ds, made_by), indent=1).encode())
    sync(place)


def begun(place: Path, ds: xr.Dataset, made_by: Mapping[str, Any], path: str) -> bool:
    """Whether the same product was begun there.

    Raises
    ------
    StoreError
        If another one was, or the variables do not lie in tiles.
    """
    wanted = _identity(ds, made_by)
    _chunks(ds)
    if not (place / _LEDGER).exists() or not (place / STORE).exists():
        return False
    there = json.loads((place / _LEDGER).read_text())
    for key, value in wanted.items():
        if there.get(key) != value:
            raise StoreError(
                f"an earlier write of {path!r} was not finished, and its {key} differ: {_short(there.get(key))} there, "
                f"{_short(value)} now; finish it with the same call, or delete {str(place)!r} to begin anew"
            )
    return True


def forget(place: Path) -> None:
    """Begin anew the next time: what is deleted afterwards may be deleted in part, if the process is killed."""
    (place / _LEDGER).unlink(missing_ok=True)


def fill(place: Path, ds: xr.Dataset, path: str) -> None:
    """Compute and write the tiles that are not there, on the Dask scheduler in force.

    Raises
    ------
    StoreError
        If the disk does not take a tile. An error of the computation is passed on.
    """
    done = {entry.name for entry in (place / _DONE).iterdir()}
    missing = [tile for tile in _tiles(ds) if tile.name not in done]
    # What no dimension cuts may need all the others: after them, or their chunks would wait for it in memory.
    for tiles in ([t for t in missing if t.region], [t for t in missing if not t.region]):
        if tiles:
            _make(place, ds, tiles, path)


def filled(store: Path, ds: xr.Dataset) -> xr.Dataset:
    """The product with what was lazy as it lies in ``store``, lazy in its chunks."""
    lazy = {n: v for n, v in ds.data_vars.items() if v.chunks is not None}
    # Dates and durations alone are decoded: a number that an attribute calls missing is a number all the same.
    counted = {n: is_time(v.variable) or v.dtype.kind == "m" for n, v in lazy.items()}
    stored = xr.open_zarr(
        store, consolidated=False, chunks={}, mask_and_scale=counted, decode_timedelta=_TIMEDELTAS, decode_coords=False
    )
    return ds.assign({n: v.copy(data=stored.variables[n].data.astype(v.dtype)) for n, v in lazy.items()})


def _make(place: Path, ds: xr.Dataset, tiles: list[Tile], path: str) -> None:
    """One task a tile, on top of the one graph of all variables: what tiles have in common is computed and sent once.

    (Each would have a copy of its own if the parts of a Dataset were handed to `dask.delayed`.)
    """
    names = list(dict.fromkeys(n for tile in tiles for n in tile.variables))
    arrays, dims = {n: ds[n].data for n in names}, {n: ds[n].dims for n in names}
    blocks = {t.name: [(arrays[n].name, *(t.at.get(d, 0) for d in dims[n])) for n in t.variables] for t in tiles}
    graph = HighLevelGraph.merge(*(a.__dask_graph__() for a in arrays.values()))
    # Of all variables at once: one by one, each would get its own copy of what they have in common.
    tasks = dict(dask.array.optimize(graph, list({key for keys in blocks.values() for key in keys})))
    token, run = uuid.uuid4().hex, next(place.glob(f"{_RUN}*")).name
    saves = {}
    for number, tile in enumerate(tiles):
        save = partial(_save, str(place), tile, [dims[n] for n in tile.variables], path=path, run=run)
        # Of what is alike, Dask begins with the last name.
        saves[f"save-{token}-{len(tiles) - number:08d}"] = (save, blocks[tile.name])
    _compute(dask.base.get_scheduler(collections=list(arrays.values())), tasks | saves, list(saves))


def _compute(get: Any, graph: dict[Any, Any], keys: list[str]) -> None:
    """Run the tasks; of those that are finished nothing is asked any more."""
    if not hasattr(getattr(get, "__self__", None), "scheduler_info"):
        get(graph, keys)
        return
    # A Client that gathers all results at the end would have those of a worker that dies made again.
    from distributed import as_completed

    futures = get(graph, keys, sync=False)
    try:
        for future in as_completed(futures):
            future.result()
            future.release()
    finally:
        for future in futures:
            future.release()


def _save(
    place: str, tile: Tile, dims: list[tuple[Hashable, ...]], values: list[Any], *, path: str = "", run: str = ""
) -> None:
    """Write a tile, then say that it is there."""
    part = xr.Dataset({n: (d, v) for n, d, v in zip(tile.variables, dims, values, strict=True)})
    store = Path(place) / STORE
    inside = [n for n, v in part.data_vars.items() if set(tile.region) & set(v.dims)]
    with reporting(path):
        if not (Path(place) / run).exists():
            # A worker may outlive its client, and find another product in the place.
            raise StoreError(f"{path!r} is not being written any more; this task belongs to a run that is over")
        if inside:
            cut = {str(d): s for d, s in tile.region.items() if d in part[inside].dims}
            part[inside].to_zarr(store, mode="r+", consolidated=False, write_empty_chunks=True, region=cut)
        for name in set(part.data_vars) - set(inside):
            zarr.open_group(store, mode="r+")[str(name)][...] = part[name].values
        for name, d in zip(tile.variables, dims, strict=True):
            _flush(store / str(name), [tile.at.get(dim, 0) for dim in d])
        (Path(place) / _DONE / tile.name).touch()


def _flush(array: Path, index: list[int]) -> None:
    """Have a chunk, and the way to it, on the disk before it is called done."""
    chunk = array.joinpath("c", *map(str, index))
    if chunk.exists():
        sync(chunk)
        for folder in chunk.parents[: len(index) + 1]:
            sync(folder)


def _tiles(ds: xr.Dataset) -> Iterator[Tile]:
    """Chunks of the lazy variables, together where they lie together."""
    lazy, chunks = {n: v for n, v in ds.data_vars.items() if v.chunks is not None}, _chunks(ds)
    cut = [d for d, sizes in chunks.items() if len(sizes) > 1]
    spans = [[slice(a, b) for a, b in pairwise(accumulate(chunks[d], initial=0))] for d in cut]
    for at in product(*[range(len(s)) for s in spans]):
        place = dict(zip(cut, at, strict=True))
        region = {d: spans[k][i] for k, (d, i) in enumerate(place.items())}
        # A variable that one of the dimensions does not cut is written with its first tile.
        mine = [
            n
            for n, v in lazy.items()
            if set(cut) & set(v.dims) and all(i == 0 or d in v.dims for d, i in zip(cut, at, strict=True))
        ]
        if mine:
            yield Tile("-".join(map(str, at)), place, region, mine)
    whole = [n for n, v in lazy.items() if not set(cut) & set(v.dims)]
    if whole:
        yield Tile("whole", {}, {}, whole)


def _chunks(ds: xr.Dataset) -> dict[Hashable, tuple[int, ...]]:
    """Where the lazy variables are cut.

    Raises
    ------
    StoreError
        If two of them are cut at different places.
    """
    chunks: dict[Hashable, tuple[int, ...]] = {}
    for name, variable in ds.data_vars.items():
        for dim, sizes in variable.chunksizes.items():
            if chunks.setdefault(dim, sizes) != sizes:
                raise StoreError(
                    f"{name!r} is cut into {sizes} along {dim!r} and another variable into {chunks[dim]}; give both the same "
                    "chunks, for example with .unify_chunks()"
                )
    return chunks


def _identity(ds: xr.Dataset, made_by: Mapping[str, Any]) -> dict[str, Any]:
    """What tells one product from another without computing it."""
    variables = {
        str(n): [
            list(map(str, v.dims)),
            list(v.shape),
            str(v.dtype),
            [list(c) for c in v.chunks or ()],
            digests(v.attrs),
        ]
        for n, v in ds.data_vars.items()
    }
    known = {n: v for n, v in ds.variables.items() if not dask.is_dask_collection(v)}
    values = digests({str(n): v.values for n, v in known.items()})
    return json.loads(json.dumps({"variables": variables, "coordinates": values, **made_by}, default=str))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 200 else f"{text[:200]}..."
