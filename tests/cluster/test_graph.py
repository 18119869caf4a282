"""Weights and climatologies are in the graph once, whatever the number of blocks."""

import pickle

import cloudpickle
import dask.array
import numpy as np
import pytest
from analytic import rotated_grid
from cluster import seas
from dask._task_spec import DataNode

from oceankit.anomaly import climatology, heatwave_days
from oceankit.regridding import Regridder


def graph(result):
    """Number of keys, and bytes of those that are tasks: each is sent to a worker by itself."""
    collection = result.to_dataset() if hasattr(result, "to_dataset") else result
    (array,) = [v.data for v in collection.data_vars.values() if v.chunks is not None]
    tasks = dict(dask.array.optimize(array.__dask_graph__(), array.__dask_keys__()))
    return len(tasks), max(len(cloudpickle.dumps(t)) for t in tasks.values() if not isinstance(t, DataNode))


def regridded(chunks):
    source = rotated_grid(60, 80)
    weights = Regridder(source, 1.0, "conservative")
    return weights(seas.times(source, chunks)), len(pickle.dumps(weights._operator))


def heat(chunks):
    field = seas.daily(8, 8 * chunks, (8, 8))
    eager = field.isel(lon=slice(0, 8)).compute(scheduler="synchronous")
    clim = climatology(eager, period=seas.YEARS)
    spread = clim.isel(lon=np.arange(8 * chunks) % 8).assign_coords(lon=field.lon)
    return heatwave_days(field, spread), sum(v.nbytes for v in spread.data_vars.values())


@pytest.mark.parametrize("work", [regridded, heat])
def test_keys_and_bytes_of_a_block_stay_as_they_are(work):
    (one, constants), (two, _), (four, _) = (work(n) for n in (8, 16, 32))
    keys, largest = zip(*(graph(r) for r in (one, two, four)), strict=True)
    assert keys[2] - keys[1] == 2 * (keys[1] - keys[0])
    assert keys[1] - keys[0] <= 8 * 8
    assert largest[2] < 1.1 * largest[0]
    assert max(largest) < 0.1 * constants
