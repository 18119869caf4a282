"""Figures are drawn without a screen and closed after each test."""

import numpy as np
import pytest
import xarray as xr


@pytest.fixture(autouse=True)
def _no_screen():
    matplotlib = pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    matplotlib.use("agg")
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture
def globe() -> xr.DataArray:
    """A smooth 5-degree global field, longitudes 0..360, with a hole in the Pacific and a date."""
    lon, lat = np.arange(2.5, 360, 5), np.arange(-87.5, 90, 5)
    values = 28 * np.cos(np.radians(lat))[:, None] ** 2 + 0 * lon
    values[10:12, 40:44] = np.nan
    return xr.DataArray(
        values.astype(np.float32),
        dims=("lat", "lon"),
        coords={
            "lon": ("lon", lon, {"units": "degrees_east"}),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "time": np.datetime64("2015-01-16T12:00"),
        },
        name="tos",
        attrs={"standard_name": "sea_surface_temperature", "units": "degC"},
    )


@pytest.fixture
def artist():
    """The one artist of an axes with a gid."""

    def find(ax, gid: str):
        found = [a for a in ax.get_children() if a.get_gid() == gid]
        assert len(found) == 1, f"{len(found)} artists {gid!r}"
        return found[0]

    return find


@pytest.fixture
def pixel():
    """The colour (red, green, blue) printed at a point of an axes, given in its own coordinates."""

    def at(ax, x: float, y: float) -> tuple[int, ...]:
        ax.figure.canvas.draw()
        pixels = np.asarray(ax.figure.canvas.buffer_rgba())
        column, row = ax.transData.transform((x, y))
        return tuple(int(v) for v in pixels[pixels.shape[0] - 1 - int(row), int(column), :3])

    return at
