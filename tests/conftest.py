"""What every test may use: real data beside the project where there are any."""

import os
from pathlib import Path

import pytest
import xarray as xr


def shared_folder() -> Path:
    """Reference data are kept beside the project; OCEANKIT_SHARED names another place."""
    return Path(os.environ.get("OCEANKIT_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = shared_folder()
    if not (folder / "data").is_dir():
        pytest.skip(f"no reference data at {folder.name}/ beside the project")
    return folder


@pytest.fixture(scope="session")
def samples() -> Path:
    """Files of the package iris-sample-data."""
    package = pytest.importorskip("iris_sample_data", reason="needs the package iris-sample-data")
    return Path(package.path)


@pytest.fixture(scope="session")
def nemo(samples: Path) -> xr.Dataset:
    """NEMO eORCA1 sea surface temperature of January 2015, with corners."""
    with xr.open_dataset(samples / "NEMO" / "nemo_1m_20150101-20150201_grid-T.nc", decode_times=False) as ds:
        return ds.load()
