"""Plans: chunks that fit, estimates that hold against measured memory, refusals that say what would do."""

import gc
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr

from oceankit.anomaly import anomalies, climatology, heatwave_days, heatwaves
from oceankit.assimilation import ETKF, LETKF, GaspariCohn
from oceankit.cli import reading
from oceankit.cluster._plan_costs import LIBRARIES
from oceankit.cluster.planning import Plan, PlanError, plan
from oceankit.fields import Grid, open_fields, write
from oceankit.observations import table
from oceankit.regridding import Regridder, regrid_vertical

MIB = 2**20
DAYS = np.datetime64("2001-01-01", "ns") + np.arange(20000) * np.timedelta64(1, "D")


def field(dims: str, shape: tuple[int, ...], chunks: Any, dtype: str = "float32", values: Any = None) -> xr.DataArray:
    """Random values on a globe; ``dims`` are of t(ime), m(ember), z (depth), y and x."""
    names = {"t": "time", "m": "member", "z": "depth", "y": "lat", "x": "lon"}
    coords: dict[str, Any] = {}
    for d, n in zip(dims, shape, strict=True):
        coords[names[d]] = {
            "t": lambda n: DAYS[:n],
            "m": np.arange,
            "z": lambda n: ("depth", np.linspace(0, 4000, n), {"units": "m", "positive": "down"}),
            "y": lambda n: ("lat", np.linspace(-80, 80, n), {"units": "degrees_north"}),
            "x": lambda n: ("lon", (np.arange(n) + 0.5) * 360 / n, {"units": "degrees_east"}),
        }[d](n)
    if values is None:
        values = dask.array.random.default_rng(0).standard_normal(shape, chunks=chunks, dtype=dtype)
    attrs = {"units": "degree_C"}
    return xr.DataArray(values, dims=[names[d] for d in dims], coords=coords, name="sst", attrs=attrs)


def stored(path: Path, *args: Any, **kwargs: Any) -> Path:
    """The same on disk, with its chunks."""
    data = field(*args, **kwargs)
    chunks = [max(c) for c in data.chunks or ()]
    with dask.config.set(scheduler="threads"):
        data.to_dataset().to_zarr(path, zarr_format=3, consolidated=False, encoding={"sst": {"chunks": chunks}})
    return path


def forbidden(dims: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str = "float32") -> xr.DataArray:
    """A field that must not be computed."""

    def refuse(block_id: Any = None) -> np.ndarray:
        raise AssertionError("the plan has computed something")

    sizes = tuple(tuple([c] * (n // c) + ([n % c] if n % c else [])) for n, c in zip(shape, chunks, strict=True))
    lazy = dask.array.map_blocks(refuse, chunks=sizes, dtype=dtype, meta=np.empty((0,) * len(shape), dtype))
    return field(dims, shape, None, values=lazy)


def on_disk(dims: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str = "float32") -> xr.DataArray:
    """As if it were opened from a store with these chunks."""
    out = forbidden(dims, shape, chunks, dtype)
    out.encoding = {"source": "model.zarr", "preferred_chunks": dict(zip(out.dims, chunks, strict=True))}
    return out


# ---- estimates against what is measured ------------------------------------------------------------------------------


def resident(key: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at most since the last reset (ru_maxrss would be the parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024


def begin() -> int:
    import oceankit.cluster.preload  # noqa: F401

    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


@pytest.fixture
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """With a new worker: what LLVM took for the kernels of another kind would stay with it."""
    distributed = pytest.importorskip("distributed")
    cloudpickle = pytest.importorskip("cloudpickle")
    # The worker cannot import this file.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("peak memory is read from /proc, which this system lacks")
    folder = str(tmp_path_factory.mktemp("worker"))
    with (
        warnings.catch_warnings(),
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit="4GiB",
            local_directory=folder,
        ) as cluster,
        distributed.Client(cluster) as found,
    ):  # fmt: skip
        warnings.simplefilter("ignore")
        yield found
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def do_write(data: xr.DataArray, folder: Path) -> None:
    write(data * 2, folder / "out.zarr")


def do_regrid(data: xr.DataArray, folder: Path, target: float = 1.0, method: str = "bilinear") -> None:
    write(Regridder(data, target, method)(data), folder / "out.zarr")


def do_levels(data: xr.DataArray, folder: Path, number: int = 20, method: str = "linear") -> None:
    write(regrid_vertical(data, np.linspace(10, 3900, number), method=method), folder / "out.zarr")


def do_climatology(data: xr.DataArray, folder: Path) -> None:
    years = data["time"].dt.year.values
    write(climatology(data, period=(int(years[0]), int(years[-1]))), folder / "clim.zarr")
    clim = open_fields(folder / "clim.zarr").chunk({d: c for d, c in data.chunksizes.items() if d != "time"})
    write(anomalies(data, clim), folder / "anomalies.zarr")
    heatwaves(data, clim)
    write(heatwave_days(data, clim), folder / "days.zarr")


def do_assimilate(data: xr.DataArray, folder: Path, method: str = "LETKF") -> None:
    rng = np.random.default_rng(1)
    obs = table(value=rng.normal(size=100), error_std=0.5, lon=rng.uniform(0, 360, 100), lat=rng.uniform(-70, 70, 100))
    filtering = LETKF(localization=GaspariCohn(500.0)) if method == "LETKF" else ETKF()
    analysis, said = filtering.assimilate(data, obs)
    on_grid = {n: said[n] for n in ("n_local", "dfs", "srf")}
    write(xr.Dataset({"sst": analysis, **on_grid}), folder / "out.zarr")


DO: dict[str, Callable[..., None]] = {
    "write": do_write, "regrid": do_regrid, "levels": do_levels, "climatology": do_climatology, "assimilate": do_assimilate,
}  # fmt: skip


def compared(
    client: Any, folder: Path, kind: str, dims: str, shape: tuple[int, ...], chunks: tuple[int, ...], *,
    dtype: str = "float32", memory: str = "4GiB", to: Any = None, **options: Any,
) -> dict[str, float]:  # fmt: skip
    """Run one kind of work at the planned chunks; MiB estimated and measured, and those beyond the libraries."""
    path = stored(folder / "in.zarr", dims, shape, chunks, dtype=dtype)
    (step,) = plan(open_fields(path)["sst"], memory=memory, workers=1, work={kind: to}).steps
    data = open_fields(path, chunks=dict(step.chunks))["sst"]
    base = max(client.run(begin).values())
    DO[kind](data, folder, **options)
    peak = max(client.run(resident, "VmHWM").values())
    return {
        "chunk": data.data.nbytes / data.data.npartitions / MIB, "base": base / MIB, "measured": peak / MIB,
        "estimated": step.peak_memory / MIB, "data_measured": (peak - base) / MIB,
        "data_estimated": (step.peak_memory - LIBRARIES[kind]) / MIB, "tasks": step.tasks,
    }  # fmt: skip


CASES: dict[str, tuple[Any, ...]] = {
    "write": ("write", "tyx", (60, 400, 800), (2, 400, 800)),
    "regrid": ("regrid", "tyx", (80, 400, 800), (2, 400, 800), {"to": 1.0}),
    "conservative": ("regrid", "tyx", (60, 400, 800), (2, 400, 800), {"to": 0.5, "method": "conservative", "target": 0.5}),
    "levels": ("levels", "tzyx", (60, 20, 100, 200), (1, 20, 100, 200), {"to": 20}),
    "letkf": ("assimilate", "myx", (20, 400, 800), (20, 100, 200), {}),
    "climatology": ("climatology", "tyx", (2922, 60, 100), (2922, 20, 20), {}),
}  # fmt: skip


@pytest.mark.extra
@pytest.mark.parametrize("case", CASES)
def test_estimates_hold(client, tmp_path, case):
    kind, dims, shape, chunks, *more = CASES[case]
    found = compared(client, tmp_path, kind, dims, shape, chunks, **(more[0] if more else {}))
    assert found["measured"] <= found["estimated"], found
    # Beyond the libraries, whose kernels may have been compiled by now.
    assert found["data_estimated"] <= 3 * found["data_measured"] + 32, found


# ---- what is chosen ---------------------------------------------------------------------------------------------------


def only(found: Plan) -> Any:
    (step,) = found.steps
    return step


def chunk_bytes(data: xr.DataArray, step: Any) -> int:
    return int(np.prod([step.chunks.get(d, n) for d, n in data.sizes.items()])) * data.dtype.itemsize


def test_nothing_is_computed_and_all_kinds_are_found():
    data = forbidden("tzyx", (400, 20, 180, 360), (10, 20, 180, 360))
    found = plan(data, memory="32GiB", workers=2)
    assert [step.work for step in found.steps] == ["regrid", "levels", "climatology", "write"]
    both = xr.Dataset({"sst": data[:, 0], "depth_of_floor": data[0, 0].drop_vars("time")})
    assert [(s.name, s.work) for s in plan(both, memory="32GiB", workers=2).steps][-2:] == [
        ("depth_of_floor", "regrid"), ("depth_of_floor", "write"),
    ]  # fmt: skip
    members = forbidden("myx", (20, 180, 360), (1, 180, 360))
    assert set(plan(members, memory="8GiB", workers=2).of("sst")) == {"regrid", "assimilate", "write"}


def test_each_kind_of_work_keeps_whole_what_it_needs():
    sst = on_disk("tyx", (3650, 720, 1440), (1, 720, 1440))
    assert only(plan(sst, memory="8GiB", workers=2, work="climatology")).chunks["time"] == 3650
    step = only(plan(sst, memory="8GiB", workers=2, work={"regrid": 1.0}))
    assert (step.chunks["lat"], step.chunks["lon"]) == (720, 1440)
    members = on_disk("myx", (50, 720, 1440), (1, 720, 1440))
    assert only(plan(members, memory="8GiB", workers=2, work="assimilate")).chunks["member"] == 50
    deep = on_disk("tzyx", (100, 50, 360, 720), (1, 10, 360, 720))
    assert only(plan(deep, memory="8GiB", workers=2, work={"levels": [10, 20]})).chunks["depth"] == 50
    assert deep.chunk(only(plan(deep, memory="8GiB", workers=2, work="levels")).chunks).chunksizes["depth"] == (50,)


@pytest.mark.parametrize("work", ["regrid", "climatology", "write"])
@pytest.mark.parametrize("stored_as", [(1, 720, 1440), (3650, 16, 16), (100, 90, 180)])
def test_more_memory_gives_no_smaller_chunks(work, stored_as):
    data = on_disk("tyx", (3650, 720, 1440), stored_as)
    sizes, peaks = [], []
    for memory in ("2GiB", "4GiB", "8GiB", "16GiB", "64GiB"):
        try:
            step = only(plan(data, memory=memory, workers=4, work=work))
        except PlanError:
            assert not sizes  # what fits in less fits in more
            continue
        sizes.append(chunk_bytes(data, step))
        peaks.append(step.peak_memory / (0.6 * float(memory.removesuffix("GiB")) * 2**30))
    assert sizes == sorted(sizes)
    assert len(sizes) > 2
    assert max(peaks) <= 1


def test_chunks_are_pieces_of_the_disk_and_leave_work_for_all():
    data = on_disk("tyx", (3650, 720, 1440), (1, 720, 1440))
    step = only(plan(data, memory="16GiB", workers=4, threads=2, work="write"))
    assert step.chunks["lat"] == 720
    assert 8 * MIB <= chunk_bytes(data, step) <= 128 * MIB
    assert step.tasks >= 3 * 8
    assert step.bytes_read == data.nbytes
    cells = on_disk("tyx", (3650, 720, 1440), (3650, 16, 16))
    step = only(plan(cells, memory="8GiB", workers=4, work="climatology"))
    assert step.chunks["lat"] % 16 == 0
    assert step.chunks["lon"] % 16 == 0


def test_reading_again_is_said():
    data = on_disk("tyx", (3650, 720, 1440), (365, 720, 1440))
    step = only(plan(data, memory="64GiB", workers=2, work="climatology"))
    assert step.bytes_read > 3 * data.nbytes
    assert any("are each read about" in words for words in step.words)


def test_chunks_of_tasks_that_are_cut_anew_move_between_workers():
    data = forbidden("tyx", (365, 180, 360), (50, 180, 360))
    step = only(plan(data, memory="8GiB", workers=4, work="climatology"))
    assert step.bytes_moved >= 0.75 * data.nbytes
    assert any("moves all of it between workers" in words for words in step.words)
    assert only(plan(data, memory="8GiB", workers=4, work="regrid")).bytes_moved < 0.2 * data.nbytes


def test_a_map_that_does_not_fit_is_cut():
    data = on_disk("tyx", (10, 6000, 12000), (1, 500, 500))
    step = only(plan(data, memory="2GiB", workers=2, work={"regrid": 1.0}))
    assert step.chunks["lat"] < 6000
    assert step.peak_memory <= 0.6 * 2 * 2**30


def test_a_plan_explains_itself():
    data = on_disk("tyx", (3650, 180, 360), (1, 180, 360))
    found = plan(data, memory="4GiB", workers=4, work="climatology")
    told = str(found)
    assert told == found.explain()
    for words in (
        "4 workers of 4.00 GiB",
        "sst, climatology",
        "'time' in one piece",
        "for libraries",
        "reads",
        "writes",
    ):
        assert words in told
    assert found.peak_memory == found.steps[0].peak_memory
    assert found.bytes_moved == found.steps[0].bytes_moved


# ---- refusals ---------------------------------------------------------------------------------------------------------


def test_what_cannot_fit_is_refused_with_what_would_do():
    data = on_disk("tyx", (3650, 720, 1440), (3650, 720, 1440))
    with pytest.raises(PlanError, match="climatology of 'sst' does not fit") as caught:
        plan(data, memory="8GiB", workers=4, work="climatology")
    told = str(caught.value)
    for words in ("8.00 GiB", "memory='", "written once in chunks of", "oceankit detect"):
        assert words in told
    enough = told.split("memory='")[1].split("'")[0]
    assert only(plan(data, memory=enough, workers=4, work="climatology")).chunks["time"] == 3650


def test_fewer_threads_may_do():
    data = on_disk("tyx", (100, 3000, 6000), (1, 3000, 6000))
    with pytest.raises(PlanError, match=r"or threads=\d"):
        plan(data, memory="2GiB", workers=1, threads=16, work="write")


@pytest.mark.parametrize("memory", ["much", "", -1, 0, True, None, "-2GiB"])
def test_nonsense_memory_is_refused(memory):
    with pytest.raises(PlanError, match="give the memory of one worker"):
        plan(field("tyx", (2, 3, 4), (2, 3, 4)), memory=memory, workers=1)


def test_other_nonsense_is_refused(tmp_path):
    data = field("yx", (3, 4), (3, 4))
    with pytest.raises(PlanError, match="workers=0"):
        plan(data, memory="4GiB", workers=0)
    with pytest.raises(PlanError, match="choose of regrid, levels"):
        plan(data, memory="4GiB", workers=1, work="dream")
    with pytest.raises(PlanError, match="needs a time coordinate"):
        plan(data, memory="4GiB", workers=1, work="climatology")
    with pytest.raises(PlanError, match="no run file"):
        plan(tmp_path / "run.yaml", memory="4GiB", workers=1)
    (tmp_path / "bad.yaml").write_text("oceankit: 1\nsteps: [{name: one, inputs: 3}]\n")
    with pytest.raises(PlanError, match="mistakes, the first"):
        plan(tmp_path / "bad.yaml", memory="4GiB", workers=1)


# ---- the same numbers ---------------------------------------------------------------------------------------------------


def test_planned_chunks_change_no_number(tmp_path):
    path = stored(tmp_path / "in.zarr", "tyx", (1461, 24, 48), (100, 24, 48))
    sst = open_fields(path)["sst"]
    target = Grid.regular(lon=(10, 350, 10), lat=(-60, 60, 10))
    for work in ({"regrid": target}, {"climatology": None}):
        step = only(plan(sst, memory="4GiB", workers=8, work=work))
        mine, other = (open_fields(path, chunks=c)["sst"] for c in (step.chunks, {"time": -1, "lat": 7, "lon": 11}))
        if step.work == "regrid":
            one, two = (Regridder(sst, target)(data) for data in (mine, other))
        else:
            one, two = (climatology(data, period=(2001, 2004)) for data in (mine, other))
        xr.testing.assert_equal(one.compute(scheduler="synchronous"), two.compute(scheduler="synchronous"))


# ---- run files ----------------------------------------------------------------------------------------------------------

RUN = """
oceankit: 1
steps:
  - name: coarse
    input: {paths: in.zarr, variable: sst}
    regrid: {to: {step: 30}}
    product: coarse.zarr
  - name: warm
    input: {paths: in.zarr, variable: sst}
    anomalies: {period: [2001, 2004]}
    heatwaves: {save: events.nc}
    product: warm.zarr
  - name: both
    input: {paths: in.zarr, variable: sst}
    regrid: {to: {step: 30}}
    anomalies: {period: [2001, 2004]}
    product: both.zarr
"""


@pytest.fixture
def runfile(tmp_path: Path) -> Path:
    stored(tmp_path / "in.zarr", "tyx", (1461, 12, 24), (50, 12, 24))
    (tmp_path / "run.yaml").write_text(RUN)
    return tmp_path / "run.yaml"


def test_a_run_file_is_planned_step_by_step(runfile, monkeypatch):
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the plan has computed something")

    for given in (runfile, str(runfile), reading.read(runfile)):
        with monkeypatch.context() as patch:
            patch.setattr(dask.array.Array, "compute", refuse)
            found = plan(given, memory="4GiB", workers=2)
        assert [(s.name, s.work) for s in found.steps] == [
            ("coarse", "regrid"), ("coarse", "write"), ("warm", "climatology"), ("both", "regrid"), ("both", "climatology"),
        ]  # fmt: skip
        assert found.of("both")["climatology"].chunks["time"] == 1461
        assert found.of("coarse")["write"].chunks.keys() == {"time", "lat", "lon"}
    with pytest.raises(PlanError, match="warm, climatology of 'sst' does not fit|coarse, .* does not fit"):
        plan(runfile, memory="400MiB", workers=2)


def test_a_run_with_its_plan_gives_the_same(runfile):
    from oceankit.cli.work import Work, depart, open_input, regrid

    run = reading.read(runfile)
    found = plan(run, memory="4GiB", workers=2)
    for _, step in run.steps:
        results = []
        for planned in ({}, found.of(step["name"])):
            work = Work(step, run.folder, plan=planned)
            open_input(work)
            if planned:
                first = next(iter(planned.values()))
                assert {d: max(c) for d, c in work.result.chunksizes.items()} == dict(first.chunks)
            if step["regrid"]:
                regrid(work)
            if step["anomalies"]:
                depart(work)
            results.append(work.result.compute(scheduler="synchronous"))
        xr.testing.assert_identical(*results)
