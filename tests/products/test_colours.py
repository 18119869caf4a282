"""The right colours for each quantity, and limits that a reader can use."""

import numpy as np
import pytest
import xarray as xr

from oceankit._extras import MissingExtraError
from oceankit.products import colours_for, in_units

pytest.importorskip("cmocean", reason="needs the extra 'plot'")


def field(values=(1.0, 2.0, 3.0), *, name=None, **attrs) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, dtype=np.float64), name=name, attrs=attrs)


# attributes and name, values, colour map, symmetric
TABLE = [
    ({"standard_name": "sea_surface_temperature"}, "thermal", False),
    ({"standard_name": "sea_water_potential_temperature", "long_name": "Temperature at 10 m depth"}, "thermal", False),
    ({"name": "tos"}, "thermal", False),
    ({"units": "degC"}, "thermal", False),
    ({"standard_name": "sea_water_practical_salinity"}, "haline", False),
    ({"standard_name": "sea_surface_temperature_anomaly"}, "balance", True),
    ({"long_name": "analysis increment of Sea Surface Temperature"}, "balance", True),
    ({"long_name": "observation minus background difference"}, "balance", True),
    ({"long_name": "SST bias"}, "balance", True),
    ({"standard_name": "sea_surface_temperature standard_error"}, "amp", False),
    ({"long_name": "analysis-error variance of Sea Surface Temperature"}, "amp", False),
    ({"name": "sst_std"}, "amp", False),
    ({"long_name": "ensemble spread of SST anomalies"}, "amp", False),
    ({"standard_name": "eastward_sea_water_velocity"}, "balance", True),
    ({"standard_name": "sea_water_speed"}, "speed", False),
    ({"name": "wind_speed"}, "speed", False),
    ({"standard_name": "mass_concentration_of_chlorophyll_a_in_sea_water"}, "algae", False),
    ({"standard_name": "sea_floor_depth_below_geoid"}, "deep", False),
    ({"standard_name": "sea_water_density"}, "dense", False),
    ({"standard_name": "sea_surface_height_above_sea_level"}, "balance", True),
    ({"standard_name": "sea_ice_area_fraction"}, "ice", False),
    ({"name": "something"}, "viridis", False),
]


@pytest.mark.parametrize(("attrs", "cmap", "symmetric"), TABLE)
def test_colour_choice(attrs, cmap, symmetric):
    colours = colours_for(field(**attrs))
    assert colours.cmap.name.removeprefix("cmo.") == cmap
    assert (colours.norm.vmin == -colours.norm.vmax) is symmetric


def test_signed_error_is_a_difference():
    assert colours_for(field((-1.0, 3.0), long_name="mean error")).cmap.name.endswith("balance")
    assert colours_for(field((0.1, 3.0), long_name="mean error")).norm.vmin == 0


@pytest.mark.parametrize("scale", [1e-6, 0.03, 1.0, 770.0])
def test_limits_hold_the_robust_range_and_little_more(scale):
    values = np.random.default_rng(1).normal(5, 1, 4000) * scale
    norm = colours_for(field(values, name="x")).norm
    low, high = np.percentile(values, [2, 98])
    assert norm.vmin <= low
    assert norm.vmax >= high
    assert norm.vmax - norm.vmin < 1.25 * (high - low)


def test_anomaly_limits_are_symmetric_whatever_the_data():
    values = np.random.default_rng(2).gamma(2, 1, 500)
    norm = colours_for(field(values, name="sst_anomaly")).norm
    assert norm.vmin == -norm.vmax
    assert norm(0.0) == pytest.approx(0.5)
    assert colours_for(field(values, name="sst_anomaly"), vmax=2.0).norm.vmin == -2.0


@pytest.mark.parametrize(
    ("vmin", "vmax", "extend"), [(1, 3, "neither"), (0, 5, "neither"), (2, 3, "min"), (1, 2, "max"), (1.5, 2.5, "both")]
)
def test_extend_says_what_lies_beyond(vmin, vmax, extend):
    assert colours_for(field(), vmin=vmin, vmax=vmax).extend == extend


def test_constant_and_zero_fields():
    for value, attrs in ((4.0, {}), (0.0, {}), (0.0, {"long_name": "anomaly"}), (0.0, {"name": "speed"})):
        norm = colours_for(field((value, value), **attrs)).norm
        assert norm.vmin < norm.vmax
        assert norm.vmin <= value <= norm.vmax


def test_chlorophyll_is_logarithmic():
    colours = colours_for(field(np.geomspace(0.013, 8.1, 200), name="chlor_a", units="mg m-3"), robust=0)
    assert type(colours.norm).__name__ == "LogNorm"
    assert (colours.norm.vmin, colours.norm.vmax) == pytest.approx((0.01, 10.0))
    assert colours.label == "chlor_a (mg m⁻³)"
    with pytest.raises(ValueError, match="vmin > 0"):
        colours_for(field((0.0, -1.0), name="chlor_a"))


def test_levels():
    colours = colours_for(field(), levels=[0, 1, 2.5])
    assert list(colours.norm.boundaries) == [0, 1, 2.5]
    assert colours.extend == "max"
    assert 3 <= len(colours_for(field(), levels=6).norm.boundaries) <= 8
    for wrong in ([1.0], [2.0, 1.0], [1.0, 1.0]):
        with pytest.raises(ValueError, match="levels"):
            colours_for(field(), levels=wrong)


def test_refusals():
    with pytest.raises(ValueError, match="'sst' has no finite value"):
        colours_for(field((np.nan, np.inf), name="sst"))
    with pytest.raises(ValueError, match="5 to 1; give vmin < vmax"):
        colours_for(field(), vmin=5, vmax=1)
    with pytest.raises(ValueError, match="robust is 50"):
        colours_for(field(), robust=50)
    with pytest.raises(ValueError, match="'termal' is no colour map"):
        colours_for(field(), cmap="termal")


def test_missing_extra_is_named(monkeypatch):
    import importlib

    real = importlib.import_module

    def absent(name, *args):
        if name.partition(".")[0] == "cmocean":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *args)

    monkeypatch.setattr("oceankit._extras.importlib.import_module", absent)
    with pytest.raises(MissingExtraError, match=r"'cmocean'.*pip install 'oceankit\[plot\]'"):
        colours_for(field(name="sst"))


def test_units_are_converted_only_when_asked():
    sst = field((273.15, 300.0), standard_name="sea_surface_temperature", units="K")
    assert colours_for(sst).units == "K"
    assert in_units(sst, "degC").values == pytest.approx([0.0, 26.85])
    assert colours_for(in_units(sst, "degC")).units == "°C"
    assert sst.attrs["units"] == "K"
    back = in_units(in_units(sst, "degC"), "K")
    assert back.values == pytest.approx(sst.values)


def test_temperature_differences_have_no_offset():
    anomaly = field((-1.0, 2.0), standard_name="sea_surface_temperature_anomaly", units="K")
    assert in_units(anomaly, "degC").values == pytest.approx([-1.0, 2.0])
    error = field((0.1, 0.2), long_name="standard deviation of SST", units="K")
    assert in_units(error, "degC").values == pytest.approx([0.1, 0.2])


def test_units_keep_float32_and_refuse_what_they_do_not_know():
    single = field(units="m s-1").astype(np.float32)
    assert in_units(single, "knots").dtype == np.float32
    assert in_units(single, "knots").values == pytest.approx(np.array([1, 2, 3]) * 1.94384, rel=1e-4)
    with pytest.raises(ValueError, match="'kg m-3', which cannot be shown in 'degC'"):
        in_units(field(units="kg m-3"), "degC")
    with pytest.raises(ValueError, match="no units"):
        in_units(field(), "degC")
