"""Weights in files: our own to the last bit, those of other tools both ways, and what is refused."""

import dask
import netCDF4
import numpy as np
import pytest
import xarray as xr
from analytic import on_grid, rotated_grid, vortex

from oceankit.fields import Grid, GridError, StoreError
from oceankit.fields.grid_files import from_json, grid_from_parts, grid_parts, to_json
from oceankit.regridding import METHODS, Regridder
from oceankit.regridding.methods import BINNING, EXTRAPOLATE

LINEAR = [m for m in METHODS if m == "mean" or m not in BINNING]

# ---- grids of every kind ----------------------------------------------------------------------------------------------


def curvilinear(step: float) -> Grid:
    """The global grid as a lattice, so that polar caps are closed by rings."""
    grid = Grid.global_regular(step)
    lon, lat = np.meshgrid(grid.lon.values, grid.lat.values)
    ds = xr.Dataset(coords={"nav_lon": (("y", "x"), lon), "nav_lat": (("y", "x"), lat)})
    return Grid.from_dataset(ds)


def masked(grid: Grid) -> Grid:
    rng = np.random.default_rng(5)
    arrays, about = grid_parts(grid)
    return grid_from_parts(arrays | {"mask": rng.random(grid.shape) > 0.2}, about)


def mesh(*, nodes: bool = False) -> Grid:
    """Quadrilaterals and triangles on the northern hemisphere."""
    lon, lat = np.meshgrid(np.arange(0.0, 90.0, 10.0), np.arange(0.0, 60.0, 10.0))
    ny, nx = lon.shape
    number = np.arange(lon.size).reshape(ny, nx)
    quads = np.stack([number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]], axis=-1).reshape(-1, 4)
    quads[::3, 3] = -1
    dims = ("node", "face")
    ds = xr.Dataset(
        {
            "mesh": ((), 0, {
                "cf_role": "mesh_topology", "topology_dimension": 2, "node_coordinates": "node_lon node_lat",
                "face_node_connectivity": "faces",
            }),
            "faces": (("face", "corner"), quads, {"cf_role": "face_node_connectivity", "start_index": 0, "_FillValue": -1}),
            "field": (dims[not nodes], np.zeros(lon.size if nodes else len(quads))),
        },
        coords={
            "node_lon": ("node", lon.ravel(), {"standard_name": "longitude", "units": "degrees_east"}),
            "node_lat": ("node", lat.ravel(), {"standard_name": "latitude", "units": "degrees_north"}),
        },
    )  # fmt: skip
    return Grid.from_dataset(ds)


PAIRS = {
    "separable": lambda: (Grid.global_regular(6.0), Grid.regular(lon=(100, 190, 5), lat=(-60, 60, 4))),
    "matrix with rings": lambda: (curvilinear(10.0), Grid.global_regular(7.5)),
    "to points": lambda: (
        Grid.global_regular(10.0),
        Grid.points([0.0, 123.4, 250.0], [89.0, -12.3, 45.0], dim="station"),
    ),
    "from a mesh's faces": lambda: (mesh(), Grid.regular(lon=(0, 80, 8), lat=(0, 50, 5))),
    "from a mesh's nodes": lambda: (mesh(nodes=True), Grid.regular(lon=(0, 80, 8), lat=(0, 50, 5))),
    "to a mesh": lambda: (Grid.global_regular(5.0), mesh()),
    "masked": lambda: (masked(Grid.global_regular(6.0)), masked(Grid.regular(lon=(0, 90, 5), lat=(0, 60, 4)))),
    "tilted and masked": lambda: (masked(rotated_grid(15, 20)), Grid.global_regular(5.0)),
    "a plane": lambda: (Grid.regular(x=(0, 12, 1), y=(0, 8, 1)), Grid.regular(x=(0, 12, 3), y=(0, 8, 2))),
}


def made(pair: str, method: str, **options) -> Regridder:
    source, target = PAIRS[pair]()
    try:
        return Regridder(source, target, method, **options)
    except GridError as error:
        pytest.skip(f"not for these grids: {error}")


def field_on(grid: Grid) -> xr.DataArray:
    """Three times, each with its own missing values."""
    rng = np.random.default_rng(1)
    values = rng.random((3, *grid.shape)) + grid.lat.values.max()
    values[rng.random(values.shape) < 0.15] = np.nan
    return xr.DataArray(values, dims=("time", *grid.dims), coords=grid.coords(), name="sst", attrs={"units": "degC"})


# ---- our own format ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pair", PAIRS)
def test_a_saved_regridder_is_the_same_to_the_bit(pair, method, tmp_path):
    before = made(pair, method, min_coverage=0.3)
    before.save(tmp_path / "weights.nc")
    after = Regridder.load(tmp_path / "weights.nc")
    assert repr(after) == repr(before)
    field = field_on(before.source)
    xr.testing.assert_identical(after(field), before(field))
    chunks = {"time": 1, before.source.dims[-1]: -(-before.source.shape[-1] // 2)}
    lazy = after(field.chunk(chunks))
    assert dask.is_dask_collection(lazy)
    xr.testing.assert_identical(lazy.compute(), before(field.chunk(chunks)).compute())
    xr.testing.assert_identical(after(field.astype(np.float32)), before(field.astype(np.float32)))
    xr.testing.assert_identical(after.coverage(field), before.coverage(field))
    xr.testing.assert_identical(after.weights, before.weights)
    # Whatever a Regridder knows, it knows again.
    known = {k for k in vars(before) if not isinstance(vars(type(before)).get(k), property)}
    assert {k for k in known if k != "_hidden"} <= set(vars(after))
    assert after._options == before._options
    assert type(after._options) is type(before._options)
    with pytest.raises(ValueError, match="make a Regridder for this field's own grid"):
        after(field.isel({before.source.dims[0]: slice(1, None)}))


def test_a_report_and_a_second_save_after_loading(tmp_path):
    source, target = PAIRS["masked"]()
    before = Regridder(source, target, "conservative", skipna=False, edges="latitude")
    before.save(tmp_path / "a.nc")
    after = Regridder.load(tmp_path / "a.nc")
    assert (after.skipna, after.edges, after.min_coverage) == (False, "latitude", 0.5)
    xr.testing.assert_identical(after.report(), before.report())
    after.save(tmp_path / "b.nc")
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()


@pytest.mark.parametrize("extrapolate", EXTRAPOLATE[1:])
def test_extrapolation_goes_on_after_loading(extrapolate, tmp_path):
    source, target = PAIRS["tilted and masked"]()
    levels = 3 if extrapolate == "creep" else None
    before = Regridder(source, target, extrapolate=extrapolate, creep_levels=levels, neighbours=3, power=1.5)
    before.save(tmp_path / "a.nc")
    after = Regridder.load(tmp_path / "a.nc")
    field = field_on(source)
    xr.testing.assert_identical(after(field), before(field))
    xr.testing.assert_identical(after(field.chunk(time=1)).compute(), before(field.chunk(time=1)).compute())
    with pytest.raises(StoreError, match=f"extrapolate='{extrapolate}' cannot be written for other tools"):
        after.to_esmf(tmp_path / "b.nc")


def test_nothing_is_computed_at_loading(nemo, tmp_path, monkeypatch):
    before = Regridder(nemo, 5.0, "conservative")
    before.save(tmp_path / "weights.nc")

    def refuse(*_, **__):
        raise AssertionError("computed at loading")

    for place in (
        "oceankit.regridding.regridder.operator", "oceankit.fields.grid.of_lattice", "oceankit.fields.grid.derive_curvilinear",
        "oceankit.fields.geometry.oriented", "oceankit.fields.geometry.lattice_or_loose", "oceankit.numerics.sparse.plan",
    ):  # fmt: skip
        monkeypatch.setattr(place, refuse)
    after = Regridder.load(tmp_path / "weights.nc")
    assert repr(after) == repr(before)


@pytest.mark.parametrize("grid", [pair()[k] for pair in PAIRS.values() for k in (0, 1)], ids=repr)
def test_a_grid_and_its_parts(grid):
    again = grid_from_parts(*grid_parts(grid))
    assert repr(again) == repr(grid)
    assert again.described_by == grid.described_by
    for name in ("lon", "lat"):
        xr.testing.assert_identical(getattr(again, name), getattr(grid, name))
    if grid.has_cells:
        xr.testing.assert_identical(again.corners, grid.corners)
        xr.testing.assert_identical(again.area(), grid.area())


def test_names_and_attributes_are_kept_as_they_are(tmp_path):
    attrs = {
        "valid_range": np.array([0.0, 360.0], np.float32), "axis": "X", "count": np.int16(3), "list": [1, "two", None],
        "pair": (1.5, True), "missing": np.nan, "text": np.array(["a", "bcde"]), "nested": {"a": np.float64(0.1)},
    }  # fmt: skip
    lon = xr.DataArray(np.arange(5.0, 360, 10), dims="x", attrs=attrs, name="x")
    lat = xr.DataArray(
        np.arange(-85.0, 90, 10), dims="y", name="y", attrs={"standard_name": "latitude", "units": "degrees"}
    )
    lon.attrs |= {"standard_name": "longitude", "units": "degrees_east"}
    source = Grid.from_dataset(xr.Dataset(coords={"x": lon, "y": lat}))
    Regridder(source, 20.0).save(tmp_path / "w.nc")
    again = Regridder.load(tmp_path / "w.nc").source.lon.attrs
    assert list(again) == list(source.lon.attrs)
    for name, value in source.lon.attrs.items():
        assert type(again[name]) is type(value)
        np.testing.assert_array_equal(again[name], value)


@pytest.mark.parametrize("value", [object(), b"bytes", {1: 2}, np.datetime64("2020-01-01"), 1j])
def test_an_attribute_that_cannot_be_written(value):
    with pytest.raises(StoreError, match=r"'lon'.*which cannot be written down; make it text or a number"):
        to_json({"odd": value}, "'lon'")


def test_json_knows_nothing_of_types():
    value = {"a": np.float32(0.1), "b": [np.int8(1), None], "c": (True, "x"), "d": np.zeros((2, 0), np.uint8)}
    again = from_json(to_json(value, "it"))
    assert again["a"] == np.float32(0.1)
    assert again["d"].dtype == np.uint8
    assert again["d"].shape == (2, 0)
    assert again["b"] == [1, None]
    assert again["c"] == (True, "x")


def test_a_name_that_is_no_text(tmp_path):
    source = Grid.points([1.0, 2.0], [3.0, 4.0], dim=7)
    with pytest.raises(StoreError, match="is called 7.*rename it"):
        Regridder(Grid.global_regular(10.0), source).save(tmp_path / "w.nc")


# ---- our own format: what is refused ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "weights.nc"
    Regridder(Grid.global_regular(20.0), 30.0, "conservative").save(path)
    return path


def test_every_damaged_byte_is_found(saved, tmp_path):
    """Each of many bytes altered, one at a time: refused, or it was one that means nothing (padding, the title)."""
    whole = saved.read_bytes()
    before = Regridder.load(saved)
    path = tmp_path / "damaged.nc"
    refused = 0
    for at in range(0, len(whole), 37):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            after = Regridder.load(path)
        except StoreError:
            refused += 1
        else:
            xr.testing.assert_identical(after.weights, before.weights)
            assert repr(after) == repr(before)
    assert refused > 0.9 * len(range(0, len(whole), 37))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.99])
def test_a_truncated_file(saved, tmp_path, share):
    whole = saved.read_bytes()
    path = tmp_path / "short.nc"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(StoreError, match=r"short\.nc' is damaged|nothing, or was cut short"):
        Regridder.load(path)


def test_a_newer_format(saved, tmp_path):
    path = tmp_path / "newer.nc"
    path.write_bytes(saved.read_bytes())
    with netCDF4.Dataset(path, "a") as file:
        file.setncattr("oceankit_regridder_format", np.int32(9))
    with pytest.raises(StoreError, match="has format 9, written by oceankit .* reads up to format 1: update oceankit"):
        Regridder.load(path)


def test_what_is_no_regridder(saved, tmp_path):
    with pytest.raises(StoreError, match=r"there is no file .*absent\.nc'; correct the path"):
        Regridder.load(tmp_path / "absent.nc")
    xr.Dataset({"sst": ("x", [1.0])}).to_netcdf(tmp_path / "field.nc")
    with pytest.raises(StoreError, match=r"no file of Regridder\.save: it holds 'sst'"):
        Regridder.load(tmp_path / "field.nc")
    regridder = Regridder.load(saved)
    regridder.to_esmf(tmp_path / "esmf.nc")
    with pytest.raises(StoreError, match=r"read them with Regridder\.from_esmf"):
        Regridder.load(tmp_path / "esmf.nc")
    with pytest.raises(StoreError, match=r"ends in \.nc"):
        regridder.save(tmp_path / "weights.zarr")
    with pytest.raises(StoreError, match="files on this machine"):
        Regridder.load("s3://bucket/weights.nc")
    with pytest.raises(StoreError, match="create the folder first"):
        regridder.save(tmp_path / "nowhere" / "weights.nc")


def test_a_failed_write_leaves_the_earlier_file(saved, tmp_path, monkeypatch):
    path = tmp_path / "weights.nc"
    path.write_bytes(saved.read_bytes())

    def fail(place, *_):
        place.write_bytes(b"half")
        raise OSError("no space left on device")

    # The module as the class knows it: pytest may have imported its file a second time for the doctests.
    monkeypatch.setattr(Regridder.save.__globals__["weight_files"], "_write", fail)
    with pytest.raises(StoreError, match="no space left on device.*an earlier file is untouched"):
        Regridder(Grid.global_regular(10.0), 30.0).save(path)
    monkeypatch.setattr(xr.Dataset, "to_netcdf", lambda _, place, **__: fail(place))
    with pytest.raises(StoreError, match="no space left on device"):
        Regridder(Grid.global_regular(10.0), 30.0).to_esmf(path)
    assert path.read_bytes() == saved.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["weights.nc"]


# ---- to other tools and back ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("convention", ["esmf", "scrip"])
@pytest.mark.parametrize("method", LINEAR)
@pytest.mark.parametrize("pair", [p for p in PAIRS if p != "a plane"])
def test_there_and_back(pair, method, convention, tmp_path):
    before = made(pair, method, min_coverage=0.0)
    path = tmp_path / "weights.nc"
    getattr(before, f"to_{convention}")(path, normalization="destarea")
    after = Regridder.from_esmf(path, before.source, before.target, min_coverage=0.0)
    for name in ("row", "col", "S"):
        np.testing.assert_array_equal(after.weights[name], before.weights[name])
    assert after.method == f"from file: {method}"
    assert after.edges == before.edges
    full = field_on(before.source).fillna(3.0)
    np.testing.assert_allclose(after(full), before(full), rtol=1e-12)
    np.testing.assert_allclose(after.coverage(full), before.coverage(full), atol=1e-12)


@pytest.mark.parametrize("convention", ["esmf", "scrip"])
def test_fracarea_and_back(convention, tmp_path):
    """The share that is covered comes back with the weights."""
    before = made("tilted and masked", "conservative")
    path = tmp_path / "weights.nc"
    getattr(before, f"to_{convention}")(path, normalization="fracarea")
    with xr.open_dataset(path) as ds:
        row, values = ("row", ds["S"]) if convention == "esmf" else ("dst_address", ds["remap_matrix"][:, 0])
        total = np.bincount(ds[row] - 1, values, before.target.size)
        assert np.abs(total[total > 0] - 1).max() < 1e-12
    after = Regridder.from_esmf(path, before.source, before.target)
    np.testing.assert_allclose(after.weights["S"], before.weights["S"], rtol=1e-14)
    field = field_on(before.source)
    np.testing.assert_allclose(after(field), before(field), rtol=1e-12)
    np.testing.assert_allclose(after.coverage(field), before.coverage(field), atol=1e-12)


def test_a_loaded_file_goes_on(tmp_path):
    """From another tool's file to our own, and to the other layout."""
    before = made("masked", "conservative")
    before.to_scrip(tmp_path / "a.nc")
    read = Regridder.from_esmf(tmp_path / "a.nc", before.source, before.target)
    read.save(tmp_path / "b.nc")
    again = Regridder.load(tmp_path / "b.nc")
    field = field_on(before.source)
    xr.testing.assert_identical(again(field), read(field))
    again.to_esmf(tmp_path / "c.nc")
    last = Regridder.from_esmf(tmp_path / "c.nc", before.source, before.target)
    assert last.method == read.method == "from file: conservative"
    np.testing.assert_allclose(last.weights["S"], before.weights["S"], rtol=1e-14)
    assert last.report().attrs["n_mapped"] == before.report().attrs["n_mapped"]


def test_what_esmf_files_hold(tmp_path):
    """Names and sizes as ESMF_RegridWeightGen has them; areas of the sphere; all of the source is given away."""
    before = Regridder(Grid.global_regular(10.0), 15.0, "conservative")
    before.to_esmf(tmp_path / "w.nc")
    with xr.open_dataset(tmp_path / "w.nc") as ds:
        assert {
            "n_a": 648,
            "n_b": 288,
            "nv_a": 4,
            "nv_b": 4,
            "src_grid_rank": 2,
            "dst_grid_rank": 2,
        }.items() <= ds.sizes.items()
        assert ds["src_grid_dims"].values.tolist() == [36, 18]
        assert ds.attrs["map_method"] == "Conservative remapping"
        assert ds.attrs["normalization"] == "destarea"
        for name in ("xc_a", "yc_a", "xv_a", "yv_a", "xc_b", "yc_b", "xv_b", "yv_b"):
            assert ds[name].attrs["units"] == "degrees"
        for letter in "ab":
            assert float(ds[f"area_{letter}"].sum()) == pytest.approx(4 * np.pi, rel=1e-13)
            np.testing.assert_allclose(ds[f"frac_{letter}"], 1.0, atol=1e-12)
            assert set(ds[f"mask_{letter}"].values.tolist()) == {1}
        # Counter-clockwise, around the centre.
        assert ds["xv_a"].values[0].tolist() == [0.0, 10.0, 10.0, 0.0]
        assert ds["yv_a"].values[0].tolist() == [-90.0, -90.0, -80.0, -80.0]
        assert (int(ds["row"].min()), int(ds["col"].max())) == (1, 648)


def test_a_mesh_in_esmf_files(tmp_path):
    """Triangles among quadrilaterals repeat their last corner."""
    source, target = PAIRS["from a mesh's faces"]()
    Regridder(source, target, "conservative").to_esmf(tmp_path / "w.nc")
    with xr.open_dataset(tmp_path / "w.nc") as ds:
        assert ds["src_grid_dims"].values.tolist() == [source.size]
        assert ds["xv_a"].values[0, 2:].tolist() == [10.0, 10.0]
        assert np.isfinite(ds["xv_a"]).all()


def test_land_without_coordinates(shared, tmp_path):
    """CESM's POP grid has no places over land: masked and zero in the file, passed over when it is read."""
    path = next((shared / "data/mom6_pop_cmip").glob("tos_Omon_CESM2*.nc"))
    with xr.open_dataset(path, decode_times=False) as ds:
        source = Grid.from_dataset(ds.squeeze())
        tos = ds["tos"].squeeze().load()
    before = Regridder(source, 5.0, "conservative")
    before.to_scrip(tmp_path / "w.nc")
    after = Regridder.from_esmf(tmp_path / "w.nc", source, 5.0)
    assert not source.used().all()
    np.testing.assert_allclose(after(tos), before(tos), rtol=1e-6)


def test_what_cannot_be_exported(tmp_path):
    limited = Regridder(Grid.global_regular(10.0), 15.0, "conservative2", limiter="barth_jespersen")
    with pytest.raises(StoreError, match=r"a limiter looks at the values; use Regridder\.save"):
        limited.to_esmf(tmp_path / "w.nc")
    for method in set(METHODS) - set(LINEAR):
        with pytest.raises(StoreError, match=f"'{method}' is no weighted mean of values"):
            made("from a mesh's faces", method).to_scrip(tmp_path / "w.nc")
    with pytest.raises(StoreError, match="on a plane"):
        made("a plane", "bilinear").to_scrip(tmp_path / "w.nc")
    with pytest.raises(StoreError, match="normalization='dstarea' is not known; choose 'destarea' or 'fracarea'"):
        made("separable", "bilinear").to_esmf(tmp_path / "w.nc", normalization="dstarea")
    assert not list(tmp_path.iterdir())


# ---- files of other tools, by their documentation ---------------------------------------------------------------------


SOURCE = Grid.regular(lon=(0, 8, 1), lat=(0, 4, 1))
TARGET = Grid.regular(lon=(0, 8, 2), lat=(0, 4, 2))


def links() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of two by two cells: target and source from 1, and weights."""
    j, i = np.divmod(np.arange(32), 8)
    return (j // 2) * 4 + i // 2 + 1, np.arange(32) + 1, np.full(32, 0.25)


def esmf(path, *, drop=(), source=SOURCE, target=TARGET, **change) -> None:
    """A file as ESMF_RegridWeightGen writes it."""
    row, column, values = links()
    ds = xr.Dataset(
        {"row": ("n_s", row.astype(np.int32)), "col": ("n_s", column.astype(np.int32)), "S": ("n_s", values)}
    )
    for letter, grid, prefix in (("a", source, "src"), ("b", target, "dst")):
        n = f"n_{letter}"
        lon, lat = np.meshgrid(grid.lon.values, grid.lat.values)
        ds[f"{prefix}_grid_dims"] = (f"{prefix}_grid_rank", np.array(grid.shape[::-1], np.int32))
        ds[f"xc_{letter}"] = (n, lon.ravel(), {"units": "degrees"})
        ds[f"yc_{letter}"] = (n, lat.ravel(), {"units": "degrees"})
        ds[f"mask_{letter}"] = (n, np.ones(grid.size, np.int32))
        ds[f"area_{letter}"] = (n, np.full(grid.size, 3e-4))
        ds[f"frac_{letter}"] = (n, np.ones(grid.size))
    ds.attrs = {"map_method": "Conservative remapping", "normalization": "destarea", "conventions": "NCAR-CSM"}
    for name, values in change.items():
        if name in ds.variables:
            ds[name] = (ds[name].dims if np.ndim(values) else (), values, ds[name].attrs)
        else:
            ds.attrs[name] = values
    ds.drop_vars(drop).to_netcdf(path)


def xesmf(path, row, column, values) -> None:
    """As xESMF's Regridder.to_netcdf: three arrays and nothing else."""
    xr.Dataset({"S": ("n_s", values), "col": ("n_s", column), "row": ("n_s", row)}).to_netcdf(path)


FIELD = xr.DataArray(np.arange(32.0).reshape(4, 8), dims=SOURCE.dims, coords=SOURCE.coords())
MEANS = FIELD.coarsen(lon=2, lat=2).mean().values


def test_esmf_by_hand(tmp_path):
    esmf(tmp_path / "w.nc")
    regridder = Regridder.from_esmf(tmp_path / "w.nc", SOURCE, TARGET)
    np.testing.assert_allclose(regridder(FIELD), MEANS, rtol=1e-15)
    assert regridder.method == "from file: Conservative remapping"
    assert "from file: Conservative remapping" in repr(regridder)
    esmf(tmp_path / "w.nc", ESMF_regrid_method="First-order Conservative")
    assert Regridder.from_esmf(tmp_path / "w.nc", SOURCE, TARGET).method == "from file: First-order Conservative"


def test_datasets_for_grids(tmp_path):
    esmf(tmp_path / "w.nc")
    regridder = Regridder.from_esmf(str(tmp_path / "w.nc"), FIELD.to_dataset(name="f"), TARGET)
    assert regridder(FIELD.to_dataset(name="f"))["f"].shape == (2, 4)


def test_xesmf_by_hand(tmp_path):
    row, column, values = links()
    keep = row != 3
    # A target that is not reached has one weight that is no number (unmapped_to_nan).
    xesmf(tmp_path / "w.nc", np.append(row[keep], 3), np.append(column[keep], 1), np.append(values[keep], np.nan))
    regridder = Regridder.from_esmf(tmp_path / "w.nc", SOURCE, TARGET)
    expected = MEANS.copy()
    expected.flat[2] = np.nan
    np.testing.assert_allclose(regridder(FIELD), expected, rtol=1e-15)
    assert regridder.method == "from file: method not said"


def test_any_order_and_pairs_that_occur_twice(tmp_path):
    row, column, values = links()
    row, column, values = np.append(row, row[:5]), np.append(column, column[:5]), np.append(values, values[:5] * 0)
    values[:5], values[-5:] = 0.1, 0.15
    order = np.random.default_rng(0).permutation(row.size)
    xesmf(tmp_path / "w.nc", row[order], column[order], values[order])
    regridder = Regridder.from_esmf(tmp_path / "w.nc", SOURCE, TARGET)
    assert regridder.weights.sizes["n_s"] == 32
    np.testing.assert_allclose(regridder(FIELD), MEANS, rtol=1e-14)


@pytest.mark.parametrize("units", ["radians", "degrees"])
@pytest.mark.parametrize("turn", [0.0, 360.0, -360.0])
def test_scrip_by_hand(tmp_path, units, turn):
    """Two weights more for each pair, which multiply gradients, are nothing where they are all zero."""
    row, column, values = links()
    ds = xr.Dataset(
        {
            "src_address": ("num_links", column), "dst_address": ("num_links", row),
            "remap_matrix": (("num_links", "num_wgts"), np.column_stack([values, 0 * values, 0 * values])),
        },
        attrs={"map_method": "Conservative remapping", "normalization": "fracarea", "conventions": "SCRIP"},
    )  # fmt: skip
    scale = np.pi / 180 if units == "radians" else 1.0
    for prefix, grid in (("src", SOURCE), ("dst", TARGET)):
        lon, lat = np.meshgrid(grid.lon.values, grid.lat.values)
        n = f"{prefix}_grid_size"
        ds[f"{prefix}_grid_center_lon"] = (n, (lon.ravel() + turn) * scale, {"units": units})
        ds[f"{prefix}_grid_center_lat"] = (n, lat.ravel() * scale, {"units": units})
        ds[f"{prefix}_grid_imask"] = (n, np.ones(grid.size, np.int32))
        ds[f"{prefix}_grid_frac"] = (n, np.ones(grid.size))
    ds.to_netcdf(tmp_path / "w.nc")
    np.testing.assert_allclose(Regridder.from_esmf(tmp_path / "w.nc", SOURCE, TARGET)(FIELD), MEANS, rtol=1e-14)
    ds["remap_matrix"] = ds["remap_matrix"] + 0.01
    ds.to_netcdf(tmp_path / "w.nc")
    with pytest.raises(StoreError, match="3 weights for each pair of cells: the others multiply gradients"):
        Regridder.from_esmf(tmp_path / "w.nc", SOURCE, TARGET)


def test_masks_of_the_file_and_of_the_grid(tmp_path):
    """Cells that either masks take no part; targets that the file masks get nothing."""
    in_file, below = np.ones(32, np.int32), np.ones(8, np.int32)
    in_file[[0, 1, 8]], below[7] = 0, 0
    esmf(tmp_path / "w.nc", mask_a=in_file, mask_b=below)
    own = np.ones((4, 8), bool)
    own[0, 2:4] = False
    source = Grid.from_dataset(FIELD.to_dataset(name="f"), mask=xr.DataArray(own, dims=SOURCE.dims))
    regridder = Regridder.from_esmf(tmp_path / "w.nc", source, TARGET)
    share = regridder.coverage(FIELD).values.ravel()
    np.testing.assert_allclose(share, [0.25, 0.5, 1, 1, 1, 1, 1, 0], atol=1e-15)
    out = regridder(FIELD).values.ravel()
    assert np.isnan(out[[0, 7]]).all()
    assert out[1] == (FIELD.values[1, 2] + FIELD.values[1, 3]) / 2


@pytest.mark.parametrize("normalization", ["destarea", "fracarea", "none"])
def test_partial_cells_in_every_normalisation(tmp_path, normalization):
    """The first target is covered by half: the same means, and the same share, whatever the weights add up to."""
    row, column, values = links()
    keep = ~((row == 1) & (column > 8))
    frac = np.ones(8)
    frac[0] = 0.5
    scale = {"destarea": 1.0, "fracarea": 1 / frac[row - 1], "none": 3e-4}[normalization]
    drop = ("frac_b", "frac_a") if normalization == "none" else ()
    esmf(tmp_path / "w.nc", drop=drop, normalization=normalization, frac_b=frac)
    with xr.open_dataset(tmp_path / "w.nc") as ds:
        changed = ds.load().assign(S=("n_s", values * scale)).isel(n_s=np.flatnonzero(keep))
    changed.to_netcdf(tmp_path / "w.nc")
    strict = Regridder.from_esmf(tmp_path / "w.nc", SOURCE, TARGET, min_coverage=0.6)
    np.testing.assert_allclose(strict.coverage(FIELD).values.ravel()[:2], [0.5, 1.0], atol=1e-14)
    assert np.isnan(strict(FIELD).values.ravel()[0])
    loose = Regridder.from_esmf(tmp_path / "w.nc", SOURCE, TARGET, min_coverage=0.5)
    np.testing.assert_allclose(loose(FIELD).values.ravel()[:2], [0.5, MEANS.flat[1]], rtol=1e-14)


def upside_down(grid: Grid) -> Grid:
    return Grid.from_dataset(xr.Dataset(coords=grid.coords()).isel(lat=slice(None, None, -1)))


def begun_elsewhere(grid: Grid) -> Grid:
    ds = xr.Dataset(coords=grid.coords())
    return Grid.from_dataset(ds.roll(lon=3, roll_coords=True))


MISMATCHES = {
    "size": (Grid.regular(lon=(0, 8, 1), lat=(0, 5, 1)), "source of 32 cells, 4 x 8, and this source has 40"),
    "shape": (
        Grid.regular(lon=(0, 4, 1), lat=(0, 8, 1)),
        "source of 4 x 8 cells.*two dimensions are the other way around",
    ),
    "upside down": (upside_down(SOURCE), r"'lat' the other way around: .*\.isel\(lat=slice\(None, None, -1\)\)"),
    "columns": (
        begun_elsewhere(Grid.global_regular(45.0)),
        r"columns begin elsewhere: .*\.roll\(lon=-3, roll_coords=True\)",
    ),
    "elsewhere": (
        Grid.regular(lon=(1, 9, 1), lat=(0, 4, 1)),
        r"another source .*32 of 32 .* cell 1, at \(0.5, 0.5\) in the file and at \(1.5, 0.5\) in the grid",
    ),
}


@pytest.mark.parametrize("which", MISMATCHES)
def test_other_grids_are_refused(which, tmp_path):
    source, message = MISMATCHES[which]
    path = tmp_path / "w.nc"
    esmf(path, source=Grid.global_regular(45.0) if which == "columns" else SOURCE)
    with pytest.raises(GridError, match=rf"(?s){message}"):
        Regridder.from_esmf(path, source, TARGET)
    if which == "columns":
        return
    back = Grid.regular(lon=(0, 8, 2), lat=(0, 4, 2))
    esmf(path, source=back, target=SOURCE, row=links()[1].astype(np.int32), col=links()[0].astype(np.int32))
    with pytest.raises(GridError, match=rf"(?s){message.replace('source', 'target')}"):
        Regridder.from_esmf(path, back, source)


def test_the_remedy_in_the_message_helps(tmp_path):
    before = Regridder(Grid.global_regular(10.0), 15.0, "bilinear")
    before.to_esmf(tmp_path / "w.nc")
    field = on_grid(before.source, vortex)
    turned = field.roll(lon=5, roll_coords=True).isel(lat=slice(None, None, -1))
    with pytest.raises(GridError, match=r"and with 'lat' the other way around: .*\.roll\(lon=-5, roll_coords=True\)"):
        Regridder.from_esmf(tmp_path / "w.nc", turned, 15.0)
    mended = turned.roll(lon=-5, roll_coords=True).isel(lat=slice(None, None, -1))
    np.testing.assert_allclose(Regridder.from_esmf(tmp_path / "w.nc", mended, 15.0)(mended), before(field), rtol=1e-12)


def test_without_sizes_the_numbers_must_fit(tmp_path):
    row, column, values = links()
    xesmf(tmp_path / "w.nc", row, column + 1, values)
    with pytest.raises(GridError, match="refers to cell 33 of its source, and this source has 32 cells"):
        Regridder.from_esmf(tmp_path / "w.nc", SOURCE, TARGET)


def test_weights_that_are_none(tmp_path):
    path = tmp_path / "w.nc"
    row, column, values = links()
    for numbers, message in (
        ((row - 1, column, values), "'row' holds 0, but cells count from 1; if the file counts from 0, add one"),
        ((row, column - 1, values), "'col' holds 0, but cells count from 1"),
        ((row + 0.5, column, values), "'row' holds numbers with a fraction"),
        (
            (row, column, np.where(column == 4, np.nan, values)),
            r"1 weight\(s\) that are no number, the first at position 3",
        ),
        (
            (row, column, np.where(column % 2, values, -values)),
            "add up to 0 at target cell 1: these are no weights of a mean",
        ),
    ):
        xesmf(path, *numbers)
        with pytest.raises(StoreError, match=message):
            Regridder.from_esmf(path, SOURCE, TARGET)
    esmf(path, map_method="Bilinear remapping", drop=("frac_b",), S=np.full(32, 1.0))
    with pytest.raises(StoreError, match="add up to 4 at target cell 1: they take sums, and a Regridder takes means"):
        Regridder.from_esmf(path, SOURCE, TARGET)
    esmf(path, ESMF_regrid_method="Nearest destination to source", S=np.full(32, 1.0))
    with pytest.raises(StoreError, match="'Nearest destination to source', which add up the sources"):
        Regridder.from_esmf(path, SOURCE, TARGET)
    xr.Dataset({"sst": ("x", [1.0])}).to_netcdf(path)
    with pytest.raises(StoreError, match="holds 'sst', but no weights"):
        Regridder.from_esmf(path, SOURCE, TARGET)
    path.write_bytes(b"no netcdf")
    with pytest.raises(StoreError, match="could not be read as NetCDF"):
        Regridder.from_esmf(path, SOURCE, TARGET)
    with pytest.raises(StoreError, match="there is no file"):
        Regridder.from_esmf(tmp_path / "absent.nc", SOURCE, TARGET)


def test_nothing_is_left_of_the_weights(tmp_path):
    esmf(tmp_path / "w.nc", mask_a=np.zeros(32, np.int32))
    with pytest.raises(StoreError, match="no weight that is not zero or masked"):
        Regridder.from_esmf(tmp_path / "w.nc", SOURCE, TARGET)


def test_extrapolation_of_weights_from_a_file(tmp_path):
    """Whatever a Regridder knows of itself, one from a file knows too."""
    row, column, values = links()
    xesmf(tmp_path / "w.nc", row[row != 3], column[row != 3], values[row != 3])
    regridder = Regridder.from_esmf(tmp_path / "w.nc", SOURCE, TARGET, extrapolate="nearest")
    out = regridder(FIELD).values
    # The nearer two of the four around its centre are those to the north, where parallels are shorter.
    assert out.flat[2] in (12.0, 13.0)
    np.testing.assert_allclose(np.delete(out, 2), np.delete(MEANS, 2), rtol=1e-15)
    assert vars(regridder).keys() >= {k for k in vars(Regridder(SOURCE, TARGET)) if k != "_hidden"}
    with pytest.raises(ValueError, match="extrapolate='far' is not known"):
        Regridder.from_esmf(tmp_path / "w.nc", SOURCE, TARGET, extrapolate="far")


def test_options_are_checked(tmp_path):
    esmf(tmp_path / "w.nc")
    with pytest.raises(ValueError, match="min_coverage=50; it is a share between 0 and 1"):
        Regridder.from_esmf(tmp_path / "w.nc", SOURCE, TARGET, min_coverage=50)
    strict = Regridder.from_esmf(tmp_path / "w.nc", SOURCE, TARGET, skipna=False)
    assert np.isnan(strict(FIELD.where(FIELD > 0)).values).sum() == 1


def test_on_a_plane_by_hand(tmp_path):
    source, target = Grid.regular(x=(0, 8, 1), y=(0, 4, 1)), Grid.regular(x=(0, 8, 2), y=(0, 4, 2))
    xesmf(tmp_path / "w.nc", *links())
    field = xr.DataArray(FIELD.values, dims=source.dims, coords=source.coords())
    np.testing.assert_allclose(Regridder.from_esmf(tmp_path / "w.nc", source, target)(field), MEANS, rtol=1e-15)
