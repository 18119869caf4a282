"""Fields four times larger than a worker's memory, which Slurm enforces."""

import warnings

import pytest
from analytic import rotated_grid
from cluster import seas
from cluster.conftest import options

pytest.importorskip("distributed", reason="needs the extra 'cluster'")
import oceankit
from oceankit.anomaly import climatology, heatwaves
from oceankit.cluster import launch, watch
from oceankit.regridding import Regridder

MEMORY = 768 * 2**20


@pytest.fixture
def client(slurm, tmp_path):
    """Two new workers with little memory; Slurm ends a job that takes more."""
    site = {**options(tmp_path), "memory": MEMORY}
    with launch("slurm", **site) as client:
        yield client


def fits(seen, spilled=0):
    """No worker took more than its job may have, with 60 MiB for the process that watches it, nor was one lost."""
    for worker in seen.workers:
        print(
            f"{worker['name']}: peak {worker['peak'] / 2**20:.0f} MiB, spilled {worker['spilled']}, {worker['tasks']} tasks"
        )
    assert (len(seen.workers), seen.lost) == (2, 0)
    assert all(worker["tasks"] for worker in seen.workers)
    assert all(200 * 2**20 / 4 < worker["peak"] < MEMORY - 60 * 2**20 for worker in seen.workers)
    assert all(worker["spilled"] <= spilled for worker in seen.workers)


@pytest.mark.extra
def test_regridding_of_a_field_larger_than_memory(client, tmp_path):
    maps = seas.times(rotated_grid(400, 600), 3400, 16, value=seas.plain)
    assert maps.nbytes >= 4 * MEMORY
    with watch(client) as seen:
        oceankit.write(Regridder(maps, 2.0, "conservative")(maps), tmp_path / "out.zarr", resume=True)
    fits(seen)


@pytest.mark.extra
def test_letkf_of_an_ensemble_larger_than_memory(client, tmp_path):
    members = seas.ensemble(400, 1280, 1600, (80, 80), value=seas.plain)
    assert members.nbytes >= 4 * MEMORY
    with watch(client) as seen, warnings.catch_warnings():
        # The positions of the cells are in the graph.
        warnings.filterwarnings("ignore", "Sending large graph")
        analysis, _ = seas.filter_of(60.0).assimilate(members, seas.observed(20))
        # Its members would fill the disk for a minute.
        oceankit.write(analysis.mean("member", keep_attrs=True), tmp_path / "out.zarr", resume=True)
    fits(seen)


@pytest.mark.extra
def test_climatology_and_heatwaves_of_a_field_larger_than_memory(client, tmp_path):
    days = seas.daily(256, 288, (16, 32), (1991, 2020), value=seas.islands)
    assert days.nbytes >= 4 * MEMORY
    with watch(client) as seen:
        oceankit.write(climatology(days, period=(1991, 2020)), tmp_path / "clim.zarr", resume=True)
        with oceankit.open_fields(tmp_path / "clim.zarr") as clim:
            events = heatwaves(days, clim)
    assert events.sizes["event"] > 100
    # Blocks of heatwaves hold all of time: some go to the disk for a while.
    fits(seen, spilled=MEMORY // 2)
