"""A Slurm of its own for each process that runs tests, started when the first test wants it."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from cluster import seas
from cluster import slurm as real

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def _daemons() -> Iterator[Path]:
    reason = real.missing()
    if reason:
        pytest.skip(reason)
    with real.running() as folder:
        yield folder


@pytest.fixture(scope="module")
def surroundings() -> Iterator[pytest.MonkeyPatch]:
    """What the processes of a test find in their environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]))
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        # Kernels that the other tests have compiled; those of a new folder would take a minute.
        patch.setenv("NUMBA_CACHE_DIR", "")
        yield patch


@pytest.fixture(scope="module")
def slurm(_daemons: Path, surroundings: pytest.MonkeyPatch) -> Path:
    """The folder of a running Slurm of two nodes with two cores and 4 GB each, which commands find by themselves."""
    surroundings.setenv("SLURM_CONF", str(_daemons / "slurm.conf"))
    return _daemons


@pytest.fixture
def nodes(tmp_path: Path) -> dict[str, Any]:
    """Options by which two workers get a node each."""
    return options(tmp_path)


def options(folder: Path) -> dict[str, Any]:
    return {
        "workers": 2, "memory": "1GiB", "walltime": "00:10:00", "interface": "lo", "directives": ["--exclusive"],
        "scratch": str(folder), "shared": str(folder),
    }  # fmt: skip


@pytest.fixture(scope="session")
def eager() -> dict[str, xr.Dataset]:
    """The small fields' results without Dask."""
    return seas.eager()


@pytest.fixture(scope="session")
def same(eager: dict[str, xr.Dataset]) -> Callable[[dict[str, xr.Dataset]], None]:
    """Whether results are those, bit for bit."""

    def check(found: dict[str, xr.Dataset]) -> None:
        assert set(found) == set(eager)
        for name, expected in eager.items():
            xr.testing.assert_identical(expected, found[name])

    return check
