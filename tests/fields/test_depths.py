"""Where levels are: against ROMS' own depths, the conventions' formulas by hand, and what must hold for any of them."""

import math

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from oceankit.fields import CoordinateError, depth_edges, depths, s_coordinate
from oceankit.fields.terrain import stretched

STRETCHINGS = {1: (6.0, 0.4), 2: (6.0, 0.4), 3: (0.65, 0.58), 4: (7.0, 2.0), 5: (7.0, 2.0)}


# ---- against the models' own files ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wc13(shared):
    with xr.open_dataset(shared / "data/wc13_4dvar/wc13_depths.nc", decode_times=False) as ds:
        return ds.isel(ocean_time=0).load()


@pytest.fixture(scope="module")
def nordic(shared):
    with xr.open_dataset(shared / "data/roms/Nordic_subset.nc") as ds:
        return ds.load()


@pytest.mark.parametrize("name", ["z_rho", "z_w", "z_u", "z_v"])
def test_depths_are_those_that_roms_wrote(wc13, name):
    """To the last digits of 5000 m; velocity points too."""
    others = wc13.drop_vars([n for n in ("z_rho", "z_w", "z_u", "z_v") if n != name])
    found = depths(others, name, positive="up")
    assert found.dims == wc13[name].dims
    np.testing.assert_allclose(found.values, wc13[name].values, rtol=0, atol=2e-12)


def test_edges_are_those_that_roms_wrote(wc13):
    found = depth_edges(wc13.drop_vars(["z_w", "z_u", "z_v"]), "z_rho", positive="up")
    np.testing.assert_allclose(found.values, wc13["z_w"].values, rtol=0, atol=2e-12)


def test_curves_are_those_that_roms_wrote(wc13, nordic):
    """WC13 to rounding; the Nordic file keeps its curves as 16-bit integers."""
    for ds, n, tolerance in ((wc13, 30, 5e-16), (nordic, 35, 1.6e-5)):
        options = {k: float(ds[k]) for k in ("theta_s", "theta_b", "hc")}
        made = s_coordinate(n, **options, Vtransform=int(ds["Vtransform"]), Vstretching=int(ds["Vstretching"]))
        for name in ("Cs_r", "Cs_w"):
            np.testing.assert_allclose(made[name].values, ds[name].values, rtol=0, atol=tolerance)
        np.testing.assert_allclose(made["s_rho"].values, ds["s_rho"].values, rtol=0, atol=5e-16)


def test_layers_add_up_to_the_water_column(nordic):
    """h + zeta to 1e-12, at sea; missing where zeta is."""
    edges = depth_edges(nordic, "temp")
    assert edges.dims == ("ocean_time", "s_rho_edges", "eta_rho", "xi_rho")
    total = np.abs(edges.diff("s_rho_edges")).sum("s_rho_edges", skipna=False)
    column = (nordic["h"] + nordic["zeta"].astype(np.float64)).transpose(*total.dims)
    np.testing.assert_allclose(total.values, column.values, rtol=1e-12)
    assert int(total.isnull().sum()) == int(nordic["zeta"].isnull().sum()) > 0


def test_a_velocity_point_counts_like_the_point_before_it(nordic):
    """The file's own masks say so; the last column of the subset has no second neighbour, and no depth."""
    rho, u = nordic["mask_rho"].values, nordic["mask_u"].values
    np.testing.assert_array_equal(u[:, :-1], rho[:, :-1] * rho[:, 1:])
    at_rho, at_u = depths(nordic, "temp").values, depths(nordic, "u").values
    np.testing.assert_allclose(at_u[..., :-1], 0.5 * (at_rho[..., :-1] + at_rho[..., 1:]), rtol=1e-12)
    assert np.isnan(at_u[..., -1]).all()


def test_roms_without_formula_terms(nordic, shared):
    with_terms = depths(nordic, "temp")
    bare = nordic.copy()
    for name in ("s_rho", "s_w"):
        bare[name].attrs = {}
    assert "formula_terms" in nordic["s_rho"].attrs
    assert not bare["s_rho"].attrs
    np.testing.assert_array_equal(depths(bare, "temp").values, with_terms.values)
    # As other branches of ROMS write: parameters as global attributes, no curves.
    built = bare.drop_vars(["Cs_r", "Cs_w", "s_rho", "s_w", "hc", "theta_s", "theta_b", "Vtransform", "Vstretching"])
    built = built.assign_attrs(hc=30.0, theta_s=6.0, theta_b=0.1, Vstretching=1, VertCoordType="NEW")
    np.testing.assert_allclose(depths(built, "temp").values, with_terms.values, atol=0.01)
    with xr.open_dataset(shared / "data/roms/ocean_his_0001.nc") as ds:
        zeta = float(ds["zeta"][0, 0, 0])
        z = depths(ds, "temp")[0, :, 0, 0].values
        np.testing.assert_allclose(z, -(zeta + (100 + zeta) * ds["s_rho"].values))


def test_fvcom(shared):
    with xr.open_dataset(shared / "data/unstructured/SFBOFS_subset1.nc", decode_times=False) as ds:
        ds = ds.load()
    z = depths(ds, "temp")
    h, zeta = ds["h"].values.astype(np.float64), ds["zeta"].values[:, None].astype(np.float64)
    np.testing.assert_allclose(z.values, -(zeta + ds["siglay"].values * (h + zeta)), atol=1e-12)
    # The terms of the file's levels between name the layers, which must not be taken for them.
    edges = depth_edges(ds, "temp")
    np.testing.assert_allclose(
        edges.isel(siglay_edges=-1).values, np.broadcast_to(ds["h"], edges[:, 0].shape), atol=1e-5
    )
    corners = ds["nv"].values - 1
    np.testing.assert_allclose(depths(ds, "u").values, z.values[..., corners].mean(axis=-2), atol=1e-12)


def test_schism(shared):
    folder = shared / "data/unstructured"
    with xr.open_dataset(folder / "zCoordinates_1.nc") as z, xr.open_dataset(folder / "salinity_1.nc") as ds:
        both = ds.assign(zCoordinates=z["zCoordinates"]).load()
    found = depths(both, "salinity")
    np.testing.assert_allclose(found.values, -both["zCoordinates"].values)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("hycom_glorys_rtofs/GLORYS_coarse_test_data.nc", "thetao"),
        ("nemo_orca025_northsea/ORCA025-N06_20000104d05U.nc", "uo"),
        ("climatology/ocean_atlas_subset.nc", "TEMP"),
        ("mom6_pop_cmip/test_mom6.nc", "uo"),
        ("roms/Arctic20_1to5Feb_2016.nc", "temperature"),
    ],
)
def test_axes_of_archives(shared, path, name):
    """Depths are the axis; a layer lies around its level, the first not above the surface."""
    with xr.open_dataset(shared / "data" / path, decode_times=False) as ds:
        axis = ds[name].dims[-3]
        z, edges = depths(ds, name).values, depth_edges(ds, name).values
        np.testing.assert_allclose(z, ds[axis].values)
    assert edges[0] >= 0.0
    assert (edges[:-1] <= z).all()
    assert (z < edges[1:]).all()


# ---- formulas --------------------------------------------------------------------------------------------------------------


def parametric(formula: str, terms: str, **variables) -> xr.Dataset:
    ds = xr.Dataset({k: v for k, v in variables.items() if k != "lev"})
    ds["lev"] = ("lev", variables["lev"], {"standard_name": formula, "formula_terms": terms})
    ds["temp"] = ("time", "lev", "x"), np.zeros((2, ds.sizes["lev"], 3))
    return ds


H, ETA = np.array([50.0, 400.0, 3000.0]), np.array([[0.5, -0.2, 0.0], [1.0, 0.0, -0.4]])
S = np.array([-0.9, -0.5, -0.1])
COMMON = {"lev": S, "depth": ("x", H), "eta": (("time", "x"), ETA)}


def by_hand(function) -> np.ndarray:
    out = np.empty((2, 3, 3))
    for t, k, i in np.ndindex(out.shape):
        out[t, k, i] = function(S[k], ETA[t, i], H[i], k)
    return out


def test_ocean_sigma():
    ds = parametric("ocean_sigma_coordinate", "sigma: lev eta: eta depth: depth", **COMMON)
    np.testing.assert_allclose(depths(ds, "temp", positive="up").values, by_hand(lambda s, e, h, k: e + s * (h + e)))
    # Half-way in a column of sigma, but from the sea floor to the surface.
    edges = depth_edges(ds, "temp")
    np.testing.assert_allclose(edges.isel(lev_edges=0).values, np.broadcast_to(H, (2, 3)))
    np.testing.assert_allclose(edges.isel(lev_edges=-1).values, -ETA)


def test_ocean_s_of_song_and_haidvogel():
    a, b, hc = 5.0, 0.4, 20.0
    terms = "s: lev eta: eta depth: depth a: a b: b depth_c: hc"
    ds = parametric("ocean_s_coordinate", terms, **COMMON, a=a, b=b, hc=hc)

    def height(s, e, h, k):
        c = (1 - b) * np.sinh(a * s) / np.sinh(a) + b * (np.tanh(a * (s + 0.5)) / (2 * np.tanh(0.5 * a)) - 0.5)
        return e * (1 + s) + hc * s + (h - hc) * c

    np.testing.assert_allclose(depths(ds, "temp", positive="up").values, by_hand(height))


@pytest.mark.parametrize("version", [1, 2])
def test_ocean_s_g1_and_g2(version):
    curve, hc = np.array([-0.7, -0.2, -0.01]), 20.0
    terms = "s: lev C: C eta: eta depth: depth depth_c: hc"
    ds = parametric(f"ocean_s_coordinate_g{version}", terms, **COMMON, C=("lev", curve), hc=hc)

    def height(s, e, h, k):
        if version == 1:
            unmoved = hc * s + (h - hc) * curve[k]
            return unmoved + e * (1 + unmoved / h)
        return e + (e + h) * (hc * s + h * curve[k]) / (hc + h)

    found = depths(ds, "temp", positive="up")
    assert found.dims == ("time", "lev", "x")
    np.testing.assert_allclose(found.values, by_hand(height))


def test_ocean_sigma_z():
    lev = np.array([-0.2, -0.8, np.nan])
    terms = "sigma: sigma eta: eta depth: depth depth_c: hc zlev: zlev"
    more = {"sigma": ("lev", lev), "zlev": ("lev", [np.nan, np.nan, -900.0]), "hc": 100.0}
    ds = parametric("ocean_sigma_z_coordinate", terms, **COMMON, **more)
    found = depths(ds, "temp", positive="up").values
    expected = by_hand(lambda s, e, h, k: e + lev[k] * (min(100.0, h) + e) if k < 2 else -900.0)
    np.testing.assert_allclose(found, expected)


def test_ocean_double_sigma():
    sigma = np.array([0.0, 1.0, 1.5, 2.0])
    ds = xr.Dataset({"depth": ("x", H), "z1": 30.0, "z2": 120.0, "a": 1.0, "href": 200.0, "k_c": 2})
    terms = "sigma: lev depth: depth z1: z1 z2: z2 a: a href: href k_c: k_c"
    ds["lev"] = ("lev", sigma, {"standard_name": "ocean_double_sigma_coordinate", "formula_terms": terms})
    ds["temp"] = ("lev", "x"), np.zeros((4, 3))
    f = 75.0 - 45.0 * np.tanh(2.0 / -90.0 * (H - 200.0))
    np.testing.assert_allclose(depths(ds, "temp").values, [0 * H, f, f + 0.5 * (H - f), H], atol=1e-12)
    with pytest.raises(CoordinateError, match=r"'lev' holds -2"):
        depths(ds.assign_coords(lev=("lev", -sigma, ds["lev"].attrs)), "temp")


def test_a_height_that_the_terms_do_not_name_is_zero_and_one_that_is_lost_is_an_error():
    ds = parametric("ocean_sigma_coordinate", "sigma: lev depth: depth", **COMMON)
    np.testing.assert_allclose(depths(ds, "temp").values, -S[:, None] * H)
    ds["lev"].attrs["formula_terms"] = "sigma: lev eta: ssh depth: depth"
    with pytest.raises(CoordinateError, match=r"terms eta: ssh are not with.*depth="):
        depths(ds, "temp")


def test_terms_in_other_units():
    ds = parametric("ocean_sigma_coordinate", "sigma: lev eta: eta depth: depth", **COMMON)
    metres = depths(ds, "temp").values
    ds["eta"] = (ds["eta"] * 100).assign_attrs(units="cm")
    ds["depth"] = (ds["depth"] / 1000).assign_attrs(
        units="km", positive="down", standard_name="sea_floor_depth_below_geoid"
    )
    np.testing.assert_allclose(depths(ds, "temp").values, metres, rtol=1e-12)
    with pytest.raises(CoordinateError, match=r"'eta'.*'K'"):
        depths(ds.assign(eta=ds["eta"].assign_attrs(units="K")), "temp")


def test_terms_that_became_coordinates(tmp_path):
    """A file opened with decode_coords="all": a DataArray then has its terms, in the encoding."""
    ds = parametric("ocean_sigma_coordinate", "sigma: lev eta: eta depth: depth", **COMMON)
    ds.to_netcdf(tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc", decode_coords="all") as opened:
        field = opened["temp"].load()
    assert "eta" in field.coords
    np.testing.assert_array_equal(depths(field).values, depths(ds, "temp").values)


def test_the_atmosphere_is_refused():
    terms = "a: lev b: lev ps: eta"
    ds = parametric("atmosphere_hybrid_sigma_pressure_coordinate", terms, **COMMON)
    with pytest.raises(CoordinateError, match=r"'lev' is an atmosphere_hybrid_sigma_pressure_coordinate"):
        depths(ds, "temp")


# ---- stretching ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vstretching", STRETCHINGS)
@given(n=st.integers(8, 80), share=st.floats(0.6, 1.0))
@settings(max_examples=25, deadline=None)
def test_curves_run_from_the_floor_to_the_surface(vstretching, n, share):
    theta_s, theta_b = (share * t for t in STRETCHINGS[vstretching])
    s = s_coordinate(n, theta_s=theta_s, theta_b=theta_b, hc=20.0, Vstretching=vstretching)
    assert (float(s["Cs_w"][0]), float(s["Cs_w"][-1])) == (-1.0, 0.0)
    assert (float(s["s_w"][0]), float(s["s_w"][-1])) == (-1.0, 0.0)
    both = np.empty(2 * n + 1)
    for rho, w in (("s_rho", "s_w"), ("Cs_r", "Cs_w")):
        both[::2], both[1::2] = s[w].values, s[rho].values
        assert (np.diff(both) > 0).all()


def test_limits_of_the_curves():
    """As the controls vanish, 1 is uniform and 4 is the parabola; 5 is 4 at finer levels."""
    s = s_coordinate(10, theta_s=0.0, theta_b=0.0, hc=5.0, Vstretching=1)
    np.testing.assert_allclose(s["Cs_r"].values, s["s_rho"].values)
    four = s_coordinate(10, theta_s=1e-4, theta_b=0.0, hc=5.0, Vstretching=4)
    np.testing.assert_allclose(four["Cs_r"].values, -(four["s_rho"].values ** 2), atol=1e-6)
    zero = s_coordinate(10, theta_s=0.0, theta_b=0.0, hc=5.0, Vstretching=4)
    np.testing.assert_allclose(zero["Cs_r"].values, -(zero["s_rho"].values ** 2))
    five = s_coordinate(10, theta_s=5.0, theta_b=1.0, hc=5.0, Vstretching=5)
    # The polynomial is 0 one level below the surface; what is left is its hundredth.
    assert float(five["s_w"][-2]) == pytest.approx(-0.01)
    assert float(five["s_w"][5]) == pytest.approx(-20 / 90 - 0.01 * 25 / 9)
    c = (1 - np.cosh(5 * five["s_rho"].values)) / (np.cosh(5) - 1)
    np.testing.assert_allclose(five["Cs_r"].values, (np.exp(c) - 1) / (1 - np.exp(-1)))


@pytest.mark.parametrize("s", [-0.95, -0.6, -0.25, -0.02])
def test_curves_as_their_authors_write_them(s):
    """Number by number, from the published equations."""
    a, b = 6.0, 0.4
    sech = 1 / math.cosh(3.0)
    shchepetkin_2005 = (s + 1) * (1 - s) * (1 - math.cosh(a * s)) / (math.cosh(a) - 1)
    shchepetkin_2005 += (1 - (s + 1) * (1 - s)) * (math.sinh(b * (s + 1)) / math.sinh(b) - 1)
    low = math.log(math.cosh(3 * (s + 1) ** 0.58)) / -math.log(sech) - 1
    high = math.log(math.cosh(3 * (-s) ** 0.65)) / math.log(sech)
    share = 1 / (1 + math.exp(6 * (s + 0.5)))
    parabola = -((math.sinh(a * s / 2) / math.sinh(a / 2)) ** 2)
    expected = {
        1: (1 - b) * math.sinh(a * s) / math.sinh(a) + b * (math.tanh(a * (s + 0.5)) / (2 * math.tanh(a / 2)) - 0.5),
        2: shchepetkin_2005,
        3: share * low + (1 - share) * high,
        4: (1 - math.exp(b * parabola)) / (math.exp(-b) - 1),
    }
    for number, value in expected.items():
        controls = (0.65, 0.58) if number == 3 else (a, b)
        assert float(stretched(np.array(s), number, *controls)) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("vtransform", [1, 2])
@pytest.mark.parametrize("vstretching", STRETCHINGS)
def test_layers_of_every_configuration_fill_the_column(vtransform, vstretching):
    theta_s, theta_b = STRETCHINGS[vstretching]
    s = s_coordinate(
        12, theta_s=theta_s, theta_b=theta_b, Tcline=20, hmin=25, Vtransform=vtransform, Vstretching=vstretching
    )
    ds = s.assign(h=("x", H), zeta=(("time", "x"), ETA), temp=(("time", "s_rho", "x"), np.zeros((2, 12, 3))))
    edges = depth_edges(ds, "temp")
    np.testing.assert_allclose(-edges.diff("s_rho_edges").sum("s_rho_edges").values, H + ETA, rtol=1e-12)
    z = depths(ds, "temp").values
    assert (np.diff(z, axis=1) < 0).all()
    assert (edges.values[:, :-1] > z).all()
    assert (z > edges.values[:, 1:]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"Vtransform": 3}, "Vtransform=3"),
        ({"Vstretching": 6}, "Vstretching=6"),
        ({"hc": None}, "hc=None and Tcline=None"),
        ({"hc": None, "Tcline": 10.0, "Vtransform": 1}, "hmin="),
        ({"hc": -1.0}, "-1.0"),
        ({"theta_s": -2.0}, "theta_s=-2.0"),
        ({"theta_b": 8.0, "Vstretching": 1}, "theta_b=8 with Vstretching=1 give 10 layers that turn back"),
        ({"theta_s": 0.2, "theta_b": 0.2, "Vstretching": 3}, "turn back"),
    ],
)
def test_parameters_that_are_none(options, message):
    with pytest.raises(CoordinateError, match=message):
        s_coordinate(10, **{"theta_s": 5.0, "theta_b": 1.0, "hc": 10.0, **options})
    with pytest.raises(CoordinateError, match="7 layers that turn back.*more layers"):
        s_coordinate(7, theta_s=5.0, theta_b=1.0, hc=10.0, Vstretching=5)
    with pytest.raises(CoordinateError, match="n=1"):
        s_coordinate(1, theta_s=5.0, theta_b=1.0, hc=10.0)


# ---- layers and axes -------------------------------------------------------------------------------------------------------


def test_partial_cells_of_nemo():
    """The bottom cell is as thick as it is, not as its level says."""
    e3t = np.array([[10.0, 10.0], [20.0, 20.0], [30.0, 7.0]])[:, None, :]
    ds = xr.Dataset(
        {"e3t_0": (("deptht", "y", "x"), e3t), "thetao": (("deptht", "y", "x"), np.zeros((3, 1, 2)))},
        coords={"deptht": ("deptht", [5.0, 20.0, 45.0], {"units": "m", "positive": "down"})},
    )
    np.testing.assert_allclose(depth_edges(ds, "thetao")[:, 0].values.T, [[0, 10, 30, 60], [0, 10, 30, 37]])
    np.testing.assert_allclose(depths(ds, "thetao")[:, 0].values.T, [[5, 20, 45], [5, 20, 33.5]])


def test_hybrid_layers_move_with_the_surface():
    h = np.array([[[2.0, 2.0], [0.0, 5.0], [9.0, np.nan]], [[2.5, 2.0], [0.0, 6.0], [9.0, np.nan]]])
    ds = xr.Dataset(
        {
            "h": (("time", "zl", "x"), h),
            "temp": (("time", "zl", "x"), 0 * h),
            "zos": (("time", "x"), [[0.0, 0], [0.5, 1]]),
        }
    )
    ds["h"].attrs = {"standard_name": "cell_thickness", "units": "m"}
    edges = depth_edges(ds, "temp").values
    np.testing.assert_allclose(edges[1], [[-0.5, -1], [2, 1], [2, 7], [11, 7]])
    np.testing.assert_allclose(depth_edges(ds.drop_vars("zos"), "temp").values[1, :, 0], [0, 2.5, 2.5, 11.5])
    centres = depths(ds, "temp").values
    assert np.isnan(centres[:, 2, 1]).all()
    np.testing.assert_allclose(centres[0, :, 0], [1, 2, 6.5])
    with pytest.raises(CoordinateError, match=r"'h'.*'kg m-2'"):
        depths(ds.assign(h=ds["h"].assign_attrs(units="kg m-2")), "temp")


def test_shares_of_cells_of_mitgcm():
    """A partial cell stands on the one above it; under an ice shelf the first hangs on the one below."""
    share = np.array([[1.0, 0.0, 0.0, 0.3], [1.0, 0.4, 0.5, 0.0], [0.25, 1.0, 0.0, 0.0]])[:, None, :]
    ds = xr.Dataset(
        {"hFacC": (("Z", "YC", "XC"), share), "drF": ("Z", [10.0, 20, 40]), "T": (("Z", "YC", "XC"), 0 * share)}
    )
    ds["Z"] = ("Z", [-5.0, -20.0, -50.0], {"units": "m", "positive": "up"})
    edges = depth_edges(ds, "T")[:, 0].values.T
    np.testing.assert_allclose(edges, [[0, 10, 30, 40], [22, 22, 30, 70], [10, 10, 20, 20], [0, 3, 3, 3]])
    with pytest.raises(CoordinateError, match=r"'drF'.*add it"):
        depths(ds.drop_vars("drF"), "T")


@pytest.mark.parametrize(
    ("values", "attrs", "expected"),
    [
        ([5.0, 15.0], {"units": "m"}, [5, 15]),
        ([-5.0, -15.0], {"units": "m"}, [5, 15]),
        ([-5.0, -15.0], {"units": "m", "positive": "up"}, [5, 15]),
        ([500.0, 1500.0], {"units": "cm", "positive": "down"}, [5, 15]),
        ([0.5, 1.5], {"units": "km", "standard_name": "depth"}, [500, 1500]),
        ([15.0, 5.0], {"units": "METERS"}, [15, 5]),
        ([5.0, 15.0], {}, [5, 15]),
    ],
)
def test_axes_in_any_units_and_direction(values, attrs, expected):
    field = xr.DataArray([1.0, 2.0], dims="depth", coords={"depth": ("depth", values, attrs)})
    np.testing.assert_allclose(depths(field).values, expected)
    np.testing.assert_allclose(depths(field, positive="up").values, -np.array(expected, float))


@pytest.mark.parametrize(
    ("values", "attrs", "message"),
    [
        ([5.0, 15.0], {"units": "dbar"}, r"pressure in 'dbar'.*gsw\.z_from_p"),
        ([5.0, 15.0], {"units": "kg m-3"}, "'kg m-3', which is no length"),
        ([-5.0, -15.0], {"units": "m", "positive": "down"}, "set its attribute positive to 'up'"),
        ([5.0, 15.0], {"units": "m", "positive": "sideways"}, "positive='sideways'"),
    ],
)
def test_axes_that_are_no_depths(values, attrs, message):
    field = xr.DataArray([1.0, 2.0], dims="lev", coords={"lev": ("lev", values, attrs)})
    with pytest.raises(CoordinateError, match=message):
        depths(field)


def test_what_cannot_be_told():
    with pytest.raises(CoordinateError, match=r"'lev' has no units"):
        depths(xr.DataArray([1.0, 2.0], dims="lev", coords={"lev": [1, 2]}))
    with pytest.raises(CoordinateError, match=r"no vertical dimension.*dim="):
        depths(xr.DataArray(np.zeros((2, 2)), dims=("y", "x")))
    with pytest.raises(CoordinateError, match=r"several vertical dimensions: 'depth', 'lev'"):
        depths(xr.DataArray(np.zeros((2, 2)), dims=("depth", "lev")))
    with pytest.raises(CoordinateError, match=r"nothing says where.*'k'"):
        depths(xr.DataArray(np.zeros((2, 2)), dims=("k", "x")), dim="k")
    with pytest.raises(CoordinateError, match=r"no variable 'salt'"):
        depths(xr.Dataset({"temp": ("x", [1.0])}), "salt")
    with pytest.raises(CoordinateError, match=r"ROMS, and h, zeta, hc, Vtransform, Cs_r is not with"):
        depths(xr.DataArray(np.zeros((2, 2)), dims=("s_rho", "x")))
    with pytest.raises(ValueError, match="positive='sideways'"):
        depths(xr.DataArray([1.0], dims="depth", coords={"depth": [1.0]}), positive="sideways")


def test_a_bed_is_no_axis():
    """SCHISM marks its bathymetry as a vertical axis."""
    ds = xr.Dataset(
        {"salinity": (("node", "layer"), np.zeros((3, 2))), "depth": ("node", H, {"axis": "Z", "positive": "down"})}
    )
    ds = ds.assign_coords(
        lon=("node", [1.0, 2, 3]), lat=("node", [1.0, 2, 3]), zcor=(("node", "layer"), -np.ones((3, 2)))
    )
    np.testing.assert_allclose(depths(ds, "salinity").values, 1.0)


def test_bounds_and_axes_of_interfaces():
    field = xr.Dataset({"t": ("lev", [1.0, 2.0, 3.0])}, coords={"lev": ("lev", [5.0, 20.0, 60.0], {"units": "m"})})
    np.testing.assert_allclose(depth_edges(field, "t").values, [0, 12.5, 40, 80])
    bounds = np.array([[0.0, 10], [10, 30], [30, 90]])
    for pairs in (bounds, bounds[:, ::-1]):
        marked = field.assign(lev_bnds=(("lev", "bnds"), pairs))
        np.testing.assert_allclose(depth_edges(marked, "t").values, [0, 10, 30, 90])
    with pytest.raises(CoordinateError, match=r"'lev_bnds' leave gaps"):
        depth_edges(field.assign(lev_bnds=(("lev", "bnds"), np.array([[0.0, 10], [11, 30], [30, 90]]))), "t")
    between = field.assign_coords(lev_i=("lev_i", [0.0, 11, 31, 91]))
    between["lev"].attrs["edges"] = "lev_i"
    np.testing.assert_allclose(depth_edges(between, "t").values, [0, 11, 31, 91])
    with pytest.raises(CoordinateError, match="one level"):
        depth_edges(field.isel(lev=[0]), "t")


# ---- lazy ------------------------------------------------------------------------------------------------------------------


def test_lazy_terms_give_lazy_depths():
    s = s_coordinate(6, theta_s=5.0, theta_b=0.5, hc=20.0)
    ds = s.assign(h=("x", H), zeta=(("time", "x"), ETA), temp=(("time", "s_rho", "x"), np.zeros((2, 6, 3))))
    lazy = ds.chunk(time=1, x=2)
    for function in (depths, depth_edges):
        found = function(lazy, "temp")
        assert dask.is_dask_collection(found)
        assert found.chunksizes["time"] == (1, 1)
        np.testing.assert_array_equal(found.values, function(ds, "temp").values)
