"""The picture of a regridding report shows what the report says, and no more."""

import numpy as np
import pytest
import xarray as xr

from oceankit.fields import Grid
from oceankit.products import plot_regridding
from oceankit.regridding import Regridder

ccrs = pytest.importorskip("cartopy.crs", reason="needs the extra 'plot'")


def panels(figure) -> dict:
    return {ax.get_label(): ax for ax in figure.axes}


def legend(figure) -> list[str]:
    return [t.get_text().replace("\N{NO-BREAK SPACE}", " ") for t in panels(figure)["legend"].get_legend().get_texts()]


@pytest.fixture(scope="module")
def tripolar(nemo):
    sst = nemo["tos"].isel(time_counter=0)
    return Regridder(nemo, 2.0, "conservative").report(sst)


def test_only_reasons_that_occur_are_in_the_legend_with_their_counts(tripolar):
    figure = plot_regridding(tripolar)
    said = tripolar.attrs
    words = {line.split("\n")[0]: line.split("\n")[1] for line in legend(figure)}
    assert set(words) == {"mapped", "covered too little", "only masked source there", "outside the source"}
    for reason, text in words.items():
        number = said[f"n_{reason.replace(' ', '_')}"]
        assert text.startswith(f"{number:,} cells".replace(",", " "))
    assert set(panels(figure)) >= {"reason", "legend", "coverage", "source_share"}


def test_cells_have_the_colour_of_their_reason(tripolar, artist):
    figure = plot_regridding(tripolar)
    mesh = artist(panels(figure)["reason"], "field")
    handles = panels(figure)["legend"].get_legend().get_patches()
    colours = {t.split("\n")[0]: h.get_facecolor() for t, h in zip(legend(figure), handles, strict=True)}
    meanings = [m.replace("_", " ") for m in tripolar.reason.attrs["flag_meanings"].split()]
    values, shown = np.asarray(mesh.get_array()).ravel(), tripolar.reason.values.ravel()
    for value in np.unique(shown):
        (painted,) = {tuple(c) for c in mesh.cmap(mesh.norm(np.unique(values[shown == value])))}
        np.testing.assert_allclose(painted, colours[meanings[value]])


def test_shares_are_those_of_the_report_and_nothing_is_drawn_where_there_is_none(tripolar, artist):
    axes = panels(plot_regridding(tripolar))
    coverage = np.ma.filled(artist(axes["coverage"], "field").get_array(), np.nan).reshape(tripolar.coverage.shape)
    there = tripolar.coverage.values > 0
    drawn = np.isfinite(coverage)  # without the cells that the seam of the map cuts
    assert drawn.sum() > 0.98 * there.sum()
    np.testing.assert_allclose(coverage[drawn], tripolar.coverage.values[drawn], atol=1e-6)
    assert not drawn[~there].any()
    assert float(np.nanmax(coverage)) <= 1.0


def test_a_region_shows_the_source_around_it(nemo):
    target = Grid.regular(lon=(117, 130, 1), lat=(25, 41, 1))
    figure = plot_regridding(Regridder(nemo, target, "conservative").report(), stamp="SYNTHETIC")
    axes = panels(figure)
    west, east = axes["source_share"].get_xlim()
    assert (west < 117) & (east > 130) & (east - west < 20)
    assert [t.get_text() for t in axes["reason"].texts if t.get_gid() == "stamp"] == ["SYNTHETIC"]
    figure.canvas.draw()
    box = figure.get_tightbbox()
    assert box.x0 > -0.02
    assert box.x1 < figure.get_size_inches()[0] + 0.02


@pytest.mark.parametrize("method", ["nearest", "bilinear", "mean", "count"])
def test_weights_that_are_no_shares_of_areas_have_no_panel_of_the_source(globe, method):
    report = Regridder(globe, 10.0, method).report()
    assert "source_share" not in panels(plot_regridding(report))


def test_sources_without_rows_and_columns_have_no_panel(nemo):

    triangles = {"node_lon": [0.0, 60.0, 30.0, 90.0], "node_lat": [0.0, 0.0, 50.0, 50.0]}
    mesh = xr.Dataset(
        {"mesh": ((), 0, {"cf_role": "mesh_topology", "topology_dimension": 2, "node_coordinates": "node_lon node_lat",
                          "face_node_connectivity": "faces"}),
         "faces": (("face", "three"), np.array([[0, 1, 2], [1, 3, 2]]), {"start_index": 0}),
         "t": ("face", [1.0, 2.0], {"mesh": "mesh", "location": "face"})},
        coords={n: ("node", v, {"units": "degrees_east" if "lon" in n else "degrees_north"}) for n, v in triangles.items()},
    )  # fmt: skip
    figure = plot_regridding(Regridder(mesh, 10.0, "conservative").report())
    assert set(panels(figure)) >= {"reason", "coverage"}
    assert "source_share" not in panels(figure)


def test_titles_are_the_users(tripolar):
    figure = plot_regridding(tripolar, title="Mine", subtitle="")
    assert [t.get_text() for t in figure.texts] == ["Mine"]
    assert "conservative" in plot_regridding(tripolar).texts[0].get_text()


def test_what_is_no_report_is_refused(globe):
    with pytest.raises(ValueError, match=r"Regridder\.report\(\)"):
        plot_regridding(globe.to_dataset())
    points = Regridder(globe, Grid.points([10.0, 20.0], [0.0, 5.0]), "bilinear").report()
    with pytest.raises(ValueError, match="a map needs a grid of cells"):
        plot_regridding(points)
