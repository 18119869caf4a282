"""Ensembles tile by tile: chunks, weight grids, bounds and restarts change nothing that they should not."""

import cloudpickle
import dask
import dask.array
import numpy as np
import pytest
import xarray as xr

from oceankit.assimilation import (
    EAKF,
    ETKF,
    LESTKF,
    LETKF,
    RTPP,
    RTPS,
    Boxcar,
    DEnKF,
    EnKF,
    Forgetting,
    GaspariCohn,
    Multiplicative,
    OptimalInterpolation,
    ThreeDVar,
    WeightGrid,
)
from oceankit.assimilation import _ensemble_core as core
from oceankit.assimilation import _ensemble_tiles as tiles
from oceankit.fields import Grid, open_fields, write
from oceankit.numerics import threads
from oceankit.observations import table

CHUNKS = [{"lat": 40, "lon": 60}, {"lat": 7, "lon": 13}, {"lat": 10, "lon": 60, "member": 3, "depth": 1}]


@pytest.fixture(scope="module")
def ocean():
    """Temperature on levels and sea level, with an island, and observations of both."""
    rng = np.random.default_rng(0)
    lat, lon = np.arange(20, 40, 0.5), np.arange(110, 140, 0.5)

    def smooth(*shape):
        return rng.normal(size=shape).cumsum(-1).cumsum(-2).astype(np.float32) / 20

    ds = xr.Dataset(
        {"temp": (("member", "depth", "lat", "lon"), smooth(8, 3, 40, 60)), "sla": (("member", "lat", "lon"), smooth(8, 40, 60))},
        coords={"lat": lat, "lon": lon, "depth": ("depth", [5.0, 20, 100], {"units": "m", "positive": "down"})},
    )  # fmt: skip
    ds["temp"].values[:, :, 3:9, 5:20] = np.nan
    ds["sla"].values[:, 3:9, 5:20] = np.nan
    n = 200
    observations = table(
        value=rng.normal(size=n), error_std=0.3, lon=rng.uniform(111, 139, n), lat=rng.uniform(21, 38, n),
        depth=rng.choice([5.0, 15, 60], n), variable=rng.choice(["temp", "sla"], n),
    )  # fmt: skip
    return ds, observations


def equal(found, expected):
    for name in expected.data_vars:
        a, b = found[name], expected[name]
        assert a.dims == b.dims
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.values, b.values, err_msg=str(name))


METHODS = {
    "LETKF": lambda: LETKF(localization=GaspariCohn(400.0)),
    "with depth": lambda: LETKF(localization=GaspariCohn(400.0, depth=50.0), inflation=RTPS(0.5)),
    "weight grid": lambda: LETKF(localization=GaspariCohn(400.0), weight_grid=WeightGrid(3), inflation=RTPP(0.3)),
    "weight grid with depth": lambda: LETKF(localization=GaspariCohn(400.0, depth=50.0), weight_grid=WeightGrid(4)),
    "bounds": lambda: DEnKF(localization=Boxcar(300.0), bounds={"temp": (-1.0, 1.0)}),
    "rotated": lambda: LETKF(localization=GaspariCohn(400.0), weight_grid=WeightGrid(2), rotate=True, rng=1),
    "perturbed": lambda: EnKF(localization=GaspariCohn(400.0), rng=1),
    "serial": lambda: EAKF(localization=GaspariCohn(400.0), inflation=Multiplicative(1.1)),
    "subspace": lambda: LESTKF(localization=Boxcar(300.0), inflation=Forgetting(0.9)),
    "global": lambda: ETKF(rotate=True, rng=2),
}


@pytest.mark.parametrize("name", METHODS)
def test_chunks_and_threads_change_no_bit(ocean, name):
    background, observations = ocean
    with threads.limit(1):
        analysis, said = METHODS[name]().assimilate(background, observations)
    with threads.limit(2):
        two, _ = METHODS[name]().assimilate(background, observations)
    equal(two, analysis)
    for chunks in CHUNKS:
        lazy, of_lazy = METHODS[name]().assimilate(background.chunk(chunks), observations)
        assert lazy.temp.chunks is not None
        equal(lazy, analysis)
        equal(of_lazy, said)


@pytest.mark.parametrize("name", ["LETKF", "weight grid", "with depth", "bounds"])
def test_how_fields_lie_in_memory_changes_no_bit(ocean, name):
    """Kernels read some as they lie; others are copied."""
    background, observations = ocean
    expected, _ = METHODS[name]().assimilate(background, observations)
    turned = background.copy()
    turned["temp"] = turned.temp.transpose("lat", "depth", "lon", "member")
    wide, fixed = background.copy(), background.copy(deep=True)
    wide["temp"] = wide.temp.pad(lon=(2, 1)).isel(lon=slice(2, -1))
    fixed.temp.values.flags.writeable = False
    for other in (turned, wide, fixed):
        found, _ = METHODS[name]().assimilate(other, observations)
        equal(found.transpose(*expected.temp.dims), expected)
        assert found.temp.dims == other.temp.dims
    mixed, _ = METHODS[name]().assimilate(background.assign(sla=background.sla.astype("f8")), observations)
    assert mixed.temp.dtype == np.float32
    assert mixed.sla.dtype == np.float64
    np.testing.assert_allclose(mixed.temp, expected.temp, atol=2e-6)


def test_the_order_of_the_table_changes_no_modelled_value(ocean):
    background, observations = ocean
    order = np.random.default_rng(9).permutation(observations.sizes["obs"])
    lazy = background.chunk(lat=7, lon=13)
    _, one = METHODS["with depth"]().assimilate(lazy, observations)
    analysis, two = METHODS["with depth"]().assimilate(lazy, observations.isel(obs=order))
    np.testing.assert_array_equal(two.hx, one.hx[order])
    expected, _ = METHODS["with depth"]().assimilate(background, observations.isel(obs=order))
    equal(analysis, expected)


@pytest.mark.parametrize("name", ["LETKF", "global"])
def test_observations_are_in_the_graph_once(ocean, name):
    """Of a table that is smaller than a chunk; a chunk has a few keys of its own and little else."""
    background, observations = ocean
    method, sla = METHODS[name](), background.sla.astype(np.float64)
    mine = observations.isel(obs=observations["variable"].values == "sla")
    hx, size = np.random.default_rng(1).normal(size=(8, mine.sizes["obs"])), []
    for lat in (8, 4):
        analysis, _ = method.assimilate(sla.chunk(lat=lat), mine, hx=hx)
        graph = dict(dask.array.optimize(analysis.data.dask, analysis.data.__dask_keys__()))
        size.append((len(graph), len(cloudpickle.dumps(graph))))
        assert len(analysis.data.dask.layers) <= 8
    (keys, few), (more, many) = size
    assert more - keys <= 5 * 4
    # The field itself is in memory here, and is in both.
    assert many - few < 5 * 5000


def test_a_table_larger_than_a_chunk_is_given_to_each_as_far_as_it_reaches(ocean, monkeypatch):
    background, observations = ocean
    expected, _ = METHODS["LETKF"]().assimilate(background, observations)
    monkeypatch.setattr(tiles, "_largest", lambda data: 0)
    analysis, _ = METHODS["LETKF"]().assimilate(background.chunk(lat=7, lon=13), observations)
    equal(analysis, expected)


def test_a_chunk_holds_only_the_observations_that_reach_it(ocean):
    background, observations = ocean
    grid = Grid.from_dataset(background)
    (group,) = tiles.groups_of({"sla": background.sla}, grid, (), None)
    places = tiles.places_at(observations.lon.values, observations.lat.values, [], (), False)
    seen = core.Modelled(np.random.default_rng(0).normal(size=(200, 8)), np.zeros(200), np.ones(200), places)
    system = core.prepared(0, seen, localization=GaspariCohn(400.0), prior=1.0)
    geometry = group.geometry.box(slice(0, 10), slice(0, 15))
    mine = core.cut(system, geometry.reached())
    apart = np.linalg.norm(places.at[:, None] - geometry.reached().at, axis=-1).min(axis=1)
    chord = 2 * places.sphere * np.sin(200.0 / places.sphere)
    assert (apart < chord).sum() <= len(mine.d) < 60
    assert np.isin(np.flatnonzero(apart < chord), mine.cells.order).all()


def test_a_weight_grid_is_exact_at_its_anchors_and_near_between_them(ocean):
    background, observations = ocean
    background = background.astype(np.float64)
    exact, _ = LETKF(localization=GaspariCohn(900.0)).assimilate(background, observations)
    coarse, said = LETKF(localization=GaspariCohn(900.0), weight_grid=WeightGrid(3)).assimilate(
        background, observations
    )
    rows, columns = [*range(0, 40, 3)], [*range(0, 60, 3), 59]
    for name in background:
        np.testing.assert_allclose(
            coarse[name].isel(lat=rows, lon=columns), exact[name].isel(lat=rows, lon=columns), atol=1e-13, err_msg=name
        )
        change = float((exact[name] - background[name]).std())
        assert 0 < float((coarse[name] - exact[name]).std()) < 0.05 * change
    one, _ = LETKF(localization=GaspariCohn(900.0), weight_grid=WeightGrid(1)).assimilate(background, observations)
    for name in background:
        np.testing.assert_allclose(one[name], exact[name], atol=1e-13)
    assert said.n_local.dtype == np.int64


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("members", "stride"), [(7, 5), (12, 3)])
def test_a_weight_grid_is_bilinear_in_the_transforms(dtype, members, stride, monkeypatch):
    """Transforms are read off an ensemble of unit vectors, and put between anchors by xarray."""
    rng = np.random.default_rng(members)
    lat, lon, n = np.arange(30, 36, 0.25), np.arange(120, 132, 0.25), 60
    state = rng.normal(size=(members, 13, lat.size, lon.size)).astype(dtype)
    ensemble = xr.Dataset({"s": (("member", "k", "lat", "lon"), state)}, coords={"lat": lat, "lon": lon})
    unit = np.broadcast_to(np.eye(members)[:, :, None, None], (members, members, lat.size, lon.size))
    units = xr.Dataset({"s": (("member", "k", "lat", "lon"), unit)}, coords={"lat": lat, "lon": lon})
    observations = table(
        value=rng.normal(size=n), error_std=0.5, lon=rng.uniform(120, 132, n), lat=rng.uniform(30, 36, n), variable="s"
    )
    hx, local = rng.normal(size=(members, n)), GaspariCohn(300.0)
    found, _ = LETKF(localization=local).assimilate(units, observations, hx=hx)
    x = (found.s - 1 / members).transpose("lat", "lon", "k", "member")
    anchors = [np.unique(np.append(np.arange(0, m, stride), m - 1)) for m in (lat.size, lon.size)]
    between = x.isel(lat=anchors[0], lon=anchors[1]).interp(lat=lat).interp(lon=lon)
    mean = state.mean(axis=0, dtype=np.float64)
    expected = mean + np.einsum("ifyx,yxij->jfyx", state - mean, between.values)
    # A tile of a few anchors alone, as where there are many members and levels.
    monkeypatch.setattr(tiles, "_BETWEEN", 1)
    method = LETKF(localization=local, weight_grid=WeightGrid(stride))
    analysis, _ = method.assimilate(ensemble, observations, hx=hx)
    np.testing.assert_allclose(analysis.s, expected, rtol=0, atol=1e-5 if dtype == "float32" else 1e-12)
    monkeypatch.undo()
    equal(method.assimilate(ensemble, observations, hx=hx)[0], analysis)


def test_weight_grids_that_cannot_be_are_refused(ocean):
    background, observations = ocean
    for make, words in (
        (lambda: ETKF(weight_grid=WeightGrid(3)), "no localization"),
        (lambda: EAKF(localization=Boxcar(3.0), weight_grid=WeightGrid(3)), "one by one"),
        (lambda: LETKF(localization=Boxcar(3.0), weight_grid=3), "give WeightGrid"),
        (lambda: WeightGrid(0), "at least 1"),
    ):
        with pytest.raises(ValueError, match=words):
            make()
    points = background.sla.stack(cell=("lat", "lon")).reset_index("cell")
    method = LETKF(localization=GaspariCohn(400.0), weight_grid=WeightGrid(3))
    sla = observations.isel(obs=observations["variable"].values == "sla")
    with pytest.raises(ValueError, match="rows and columns"):
        method.assimilate(points, sla, hx=np.zeros((8, sla.sizes["obs"])))


def test_bounds_are_kept_and_counted(ocean):
    background, observations = ocean
    analysis, said = DEnKF(localization=GaspariCohn(400.0), bounds={"sla": (0.0, None)}).assimilate(
        background, observations
    )
    free, _ = DEnKF(localization=GaspariCohn(400.0)).assimilate(background, observations)
    assert float(analysis.sla.min()) == 0.0
    np.testing.assert_array_equal(analysis.sla, np.maximum(free.sla, 0))
    np.testing.assert_array_equal(analysis.temp, free.temp)
    assert int(said.n_bounded.sum()) == int((free.sla < 0).sum())
    with pytest.raises(ValueError, match="lowest is below"):
        DEnKF(bounds=(1.0, 0.0))
    with pytest.raises(ValueError, match="which of"):
        DEnKF(bounds=(0.0, 1.0)).assimilate(background, observations)
    with pytest.raises(ValueError, match="'salt'"):
        DEnKF(bounds={"salt": (0.0, 1.0)}).assimilate(background, observations)


def test_optimal_interpolation_keeps_bounds(ocean):
    background, observations = ocean
    field = abs(background.sla[0]).drop_vars("member", errors="ignore")
    oi = OptimalInterpolation(background_error_std=1.0, length_scale=200.0, bounds=(0.0, None))
    sla = observations.isel(obs=observations["variable"].values == "sla").drop_vars(["depth"])
    analysis, said = oi.assimilate(field, sla)
    assert float(analysis.min()) == 0.0
    assert int(said.n_bounded) > 0
    lazy, again = oi.assimilate(field.chunk(lat=10), sla)
    np.testing.assert_array_equal(lazy, analysis)
    assert int(again.n_bounded) == int(said.n_bounded)


def test_an_observation_that_came_twice_counts_once(ocean):
    background, observations = ocean
    twice = xr.concat([observations, observations.isel(obs=slice(0, 50))], "obs")
    once, _ = METHODS["LETKF"]().assimilate(background, observations)
    found, said = METHODS["LETKF"]().assimilate(background, twice)
    equal(found, once)
    outside = int((said.status[:50] == 1).sum())
    assert int(said.n_duplicate) == 50 - outside


def test_what_only_some_members_have_is_named_also_in_a_chunk(ocean):
    background, observations = ocean
    broken = background.copy(deep=True)
    broken["temp"].values[2, 1, 30, 40] = np.nan
    for field in (broken, broken.chunk(lat=20)):
        with pytest.raises(ValueError, match=r"'temp' is missing in 1 of 8 members at lon=130, lat=35"):
            METHODS["LETKF"]().assimilate(field, observations, hx=np.zeros((8, 200)))[0].compute()


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(ocean, tmp_path):
    background, observations = ocean
    lazy = background.chunk(lat=10, lon=30)
    analysis, said = METHODS["LETKF"]().assimilate(lazy, observations)
    whole = xr.Dataset({"sla": analysis.sla, "temp": analysis.temp, "n_local": said.n_local})
    stop = {"left": 3}

    def refuse(block):
        if block.size and stop["left"] == 0:
            raise RuntimeError("the node is lost")
        stop["left"] -= bool(block.size)
        return block

    failing = whole.assign(
        sla=whole.sla.copy(
            data=dask.array.map_blocks(refuse, whole.sla.data, dtype=np.float32, meta=whole.sla.data._meta)
        )
    )
    path = tmp_path / "analysis.zarr"
    with pytest.raises(RuntimeError, match="lost"), dask.config.set(scheduler="synchronous"):
        write(failing, path, resume=True, options={"method": repr(METHODS["LETKF"]())})
    assert not path.exists()
    assert 0 < len(list((tmp_path / ".analysis.zarr.unfinished/tiles").iterdir())) < 8
    write(whole, path, resume=True, options={"method": repr(METHODS["LETKF"]())})
    with open_fields(path) as found:
        equal(found, whole.compute())


def test_methods_that_differ_say_so():
    """A cycling run is told from another by what its method says of itself."""
    kinds = [
        LETKF(localization=GaspariCohn(300.0)),
        LETKF(localization=GaspariCohn(300.0, taper_on="anomalies")),
        LETKF(localization=GaspariCohn(300.0), weight_grid=WeightGrid(3)),
        LETKF(localization=GaspariCohn(300.0), bounds=(0.0, None)),
        OptimalInterpolation(background_error_std=1.0, length_scale=100.0),
        OptimalInterpolation(background_error_std=2.0, length_scale=100.0),
        ThreeDVar(background_error_std=1.0, length_scale=100.0),
        ThreeDVar(background_error_std=2.0, length_scale=100.0),
        ThreeDVar(background_error_std=2.0, length_scale=100.0, depth_scale=10.0),
    ]
    assert len({repr(kind) for kind in kinds}) == len(kinds)
