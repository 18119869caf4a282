"""What a chunk costs besides its kernel: tasks that do nothing, bytes of the graph, tiles of a product."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import _scaling_work as work
import dask
import dask.array
import numpy as np
import xarray as xr
from distributed import Client, wait
from distributed.protocol import pickle

from oceankit.anomaly import climatology, heatwave_days, heatwaves
from oceankit.fields import write


class Cost(NamedTuple):
    """Seconds a chunk."""

    wall: float
    scheduler: float
    """CPU of the process that holds client and scheduler: the graph is made, sent and handed out by it."""
    workers: float
    """CPU of all workers together."""
    busiest: float
    """CPU of the worker that had most of it."""


def idle(seconds: float = 2.0) -> float:
    """CPU seconds that client and schedulers take of a second in which nothing is asked of them."""
    before, begin = time.process_time(), time.perf_counter()
    time.sleep(seconds)
    return (time.process_time() - before) / (time.perf_counter() - begin)


def spent(client: Client, job: Callable[[], Any], chunks: int, resting: float) -> Cost:
    """What a job took, for each of its chunks, without what client and scheduler take at rest."""
    before, ours, begin = client.run(work.cpu_seconds), time.process_time(), time.perf_counter()
    job()
    wall, ours = time.perf_counter() - begin, time.process_time() - ours
    theirs = [after - before[w] for w, after in client.run(work.cpu_seconds).items()]
    return Cost(wall / chunks, max(0.0, ours - resting * wall) / chunks, sum(theirs) / chunks, max(theirs) / chunks)


def median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(c) for c in zip(*costs, strict=True)))


def empty(client: Client, sizes: tuple[int, ...], resting: float, repeat: int = 3) -> None:
    """A kernel that does nothing, a row a chunk."""

    def ours(chunks: int) -> None:
        wait(work.nothing(chunks).persist())

    def plain(chunks: int) -> None:
        rows = dask.array.zeros((chunks, 8), chunks=(1, 8))
        wait(dask.array.map_blocks(work._nothing, rows, drop_axis=1, dtype=np.float64).persist())

    print(
        "task overhead: a kernel that does nothing, milliseconds a chunk (client and scheduler CPU; all workers' CPU)"
    )
    for chunks in sizes:
        for name, job in (("Dask's map_blocks", plain), ("fields.blocks.along", ours)):
            job(chunks)
            cost = median([spent(client, lambda j=job, n=chunks: j(n), chunks, resting) for _ in range(repeat)])
            wall, scheduler, workers, _ = (1e3 * c for c in cost)
            print(f"  {chunks:5d} chunks, {name:19s} {wall:.2f} ({scheduler:.2f}; {workers:.2f})")


# ---- the graph --------------------------------------------------------------------------------------------------------


class _Caught(Exception):  # noqa: N818
    """Instead of a result."""


def graph_of(compute: Callable[[], Any]) -> dict[Any, Any]:
    """What a scheduler would be given."""
    found: dict[Any, Any] = {}

    def catch(graph: Any, *_: Any, **__: Any) -> Any:
        found.update(graph if isinstance(graph, dict) else graph.__dask_graph__())
        raise _Caught

    try:
        with dask.config.set(scheduler=catch):
            compute()
    except _Caught:
        pass
    return found


class Bytes(NamedTuple):
    """Of a graph."""

    tasks: int
    whole: int
    """Pickled at once, as the client sends it."""
    each: int
    """Of its tasks, each pickled by itself, as the scheduler sends them."""


def bytes_of(graph: dict[Any, Any]) -> Bytes:
    return Bytes(len(graph), len(pickle.dumps(graph)), sum(len(pickle.dumps(t)) for t in graph.values()))


def graphs(sizes: tuple[int, int]) -> None:
    """Bytes of the graph as a whole and task by task, at two numbers of chunks."""

    def known(chunks: int) -> tuple[xr.DataArray, xr.Dataset]:
        """A climatology in memory."""
        field = work.daily(chunks)
        shape = (work.CELLS, chunks * work.CELLS, 366)
        values = xr.DataArray(
            np.full(shape, 15.0), dims=("lat", "lon", "dayofyear"), coords={"dayofyear": np.arange(1, 367)}
        )
        like = climatology(field, period=work.PERIOD)
        return field, like.assign(
            {n: values.transpose(*v.dims).assign_coords(v.coords).assign_attrs(v.attrs) for n, v in like.items()}
        )

    cases: dict[str, Callable[[int], Any]] = {
        "regridding": lambda n: dask.array.nansum(work.KERNELS["regridding"].lazy(n)).compute(),
        "letkf": lambda n: dask.array.nansum(work.analysed(n)).compute(),
        "climatology": lambda n: dask.compute(*climatology(work.daily(n), period=work.PERIOD).data_vars.values()),
        "heatwaves": lambda n: dask.array.nansum(work.warm_days(n)).compute(),
        "events": lambda n: work.events(n),
        "heatwaves, climatology in memory": lambda n: heatwave_days(*known(n)).sum().compute(),
        "events, climatology in memory": lambda n: heatwaves(*known(n)),
    }
    print(
        f"graph of {sizes[0]} and of {sizes[1]} chunks: tasks a chunk; bytes of one pickle (what the client sends), and what a"
    )
    print("chunk adds; bytes of all tasks pickled one by one (what workers are sent), and what a chunk adds")
    for name, compute in cases.items():
        first, second = (bytes_of(graph_of(lambda c=compute, n=n: c(n))) for n in sizes)
        more = sizes[1] - sizes[0]
        whole, each = (second.whole - first.whole) / more, (second.each - first.each) / more
        grows = each > 1.5 * (first.each / sizes[0]) and each > 20_000
        print(
            f"  {name:33s} {second.tasks / sizes[1]:5.2f}; {first.whole:9d} and {second.whole:9d}, {whole:8.0f}; "
            f"{first.each:10d} and {second.each:10d}, {each:9.0f}" + ("  GROWS: not constant" if grows else "")
        )


# ---- tiles ------------------------------------------------------------------------------------------------------------


def tiles(client: Client, sizes: tuple[int, int]) -> None:
    """What write(..., resume=True) takes for a tile, beside the same without."""

    def product(number: int) -> xr.Dataset:
        data = dask.array.zeros((number, 16, 16), chunks=(1, 16, 16), dtype=np.float32)
        return xr.Dataset({"sst": (("time", "lat", "lon"), data, {"units": "degree_C"})})

    print(
        f"writing tiles of 1 KiB to Zarr on this machine's disk, milliseconds a tile from {sizes[0]} to {sizes[1]} tiles"
    )
    found = {}
    with tempfile.TemporaryDirectory() as folder, client.as_current():
        for resume in (False, True):
            seconds = []
            for k, number in enumerate((sizes[0], *sizes)):
                begin = time.perf_counter()
                write(product(number), Path(folder) / f"{resume}{k}.zarr", resume=resume)
                seconds.append(time.perf_counter() - begin)
            found[resume] = (seconds[2] - seconds[1]) / (sizes[1] - sizes[0])
    more = found[True] - found[False]
    print(
        f"  resume=False {1e3 * found[False]:.1f}, resume=True {1e3 * found[True]:.1f} on {len(client.nthreads())} workers: "
        f"{1e3 * more:.1f} more"
    )
