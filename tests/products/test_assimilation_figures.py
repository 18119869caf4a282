"""The page about an analysis shows what the diagnostics say, and no panel for what they do not have."""

import numpy as np
import pytest
import xarray as xr

from oceankit import OptimalInterpolation
from oceankit.assimilation import diagnostics
from oceankit.observations import table
from oceankit.products import plot_assimilation, plot_desroziers, plot_rank_histogram, plot_spread_skill

pytest.importorskip("cartopy.crs", reason="needs the extra 'plot'")


def panels(figure) -> dict:
    return {ax.get_label(): ax for ax in figure.axes}


def numbers(figure) -> dict[str, str]:
    texts = [t.get_text().replace("\N{NO-BREAK SPACE}", " ") for t in panels(figure)["numbers"].texts]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def offsets(artist_) -> np.ndarray:
    return np.asarray(artist_.get_offsets())


@pytest.fixture
def found() -> xr.Dataset:
    """300 observations of a calibrated ensemble around the Yellow Sea, every tenth flagged, every twentieth outside."""
    rng = np.random.default_rng(0)
    n, members = 300, 11
    hx = 15 + rng.uniform(0.5, 2, (n, 1)) * rng.normal(size=(n, members + 1))
    value, hx = hx[:, 0] + 0.5 * rng.normal(size=n), hx[:, 1:]
    innovation = value - hx.mean(1)
    return xr.Dataset(
        {
            "value": ("obs", value, {"units": "degC"}),
            "error_std": ("obs", np.full(n, 0.5)),
            "variable": ("obs", np.full(n, "sea_surface_temperature")),
            "innovation": ("obs", innovation),
            "spread": ("obs", hx.std(1, ddof=1)),
            "residual": ("obs", 0.3 * innovation),
            "hx": (("obs", "member"), hx),
            "status": ("obs", np.where(np.arange(n) % 10 == 0, np.where(np.arange(n) % 20 == 0, 1, 2), 0)),
        },
        {
            "obs_lon": ("obs", rng.uniform(118, 128, n)),
            "obs_lat": ("obs", rng.uniform(30, 40, n)),
            "obs_time": ("obs", np.datetime64("2015-01-16T06", "ns") + rng.integers(0, 2, n) * np.timedelta64(1, "D")),
        },
    )


def test_every_panel_for_all_there_is(found):
    figure = plot_assimilation(found, stamp="SYNTHETIC", attribution="made here")
    assert set(panels(figure)) >= {"map", "numbers", "histogram", "ranks", "spread_skill", "desroziers"}
    texts = [t.get_text() for t in figure.texts]
    assert texts == [
        "Observations against background and analysis",
        "Sea surface temperature, 16 January 2015 to 17 January 2015",
        "made here",
    ]
    assert "SYNTHETIC" in [t.get_text() for t in panels(figure)["map"].texts if t.get_gid() == "stamp"]


@pytest.mark.parametrize(("dropped", "gone"), [
    (["residual"], {"desroziers"}), (["hx"], {"ranks"}), (["spread"], {"spread_skill"}),
    (["residual", "hx", "spread"], {"desroziers", "ranks", "spread_skill"}),
])  # fmt: skip
def test_no_panel_for_what_is_not_there(found, dropped, gone):
    names = set(panels(plot_assimilation(found.drop_vars(dropped))))
    assert not names & gone
    assert names >= {"map", "numbers", "histogram", "ranks", "spread_skill", "desroziers"} - gone


def test_the_map_has_the_used_in_their_colour_and_the_others_as_crosses(found, artist):
    figure = plot_assimilation(found)
    ax = panels(figure)["map"]
    dots, crosses = artist(ax, "used"), artist(ax, "unused")
    used = (found.status == 0).values
    at = np.column_stack([found.obs_lon, found.obs_lat])
    np.testing.assert_allclose(offsets(dots), at[used])
    np.testing.assert_allclose(offsets(crosses), at[~used])
    np.testing.assert_allclose(dots.get_array(), found.innovation.values[used])
    assert dots.norm.vmin == -dots.norm.vmax
    assert artist(ax, "land") is not None


def test_positions_on_any_turn_of_the_globe_are_the_same(found, artist):
    across = found.assign_coords(obs_lon=(found.obs_lon + 57) % 360)  # 175 to 185
    west = across.assign_coords(obs_lon=(across.obs_lon + 180) % 360 - 180)
    views = []
    for form in (across, west):
        ax = panels(plot_assimilation(form))["map"]
        low, high = ax.get_xlim()
        views.append(high - low)
        x = offsets(artist(ax, "used"))[:, 0]
        assert ((x > low) & (x < high)).all()
    assert views[0] == pytest.approx(views[1])
    assert views[0] < 15


def test_a_global_table_is_drawn_on_a_round_map(found, artist):
    rng = np.random.default_rng(1)
    spread_out = found.assign_coords(
        obs_lon=("obs", rng.uniform(0, 360, 300)), obs_lat=("obs", rng.uniform(-70, 70, 300))
    )
    ax = panels(plot_assimilation(spread_out))["map"]
    assert type(ax.projection).__name__ == "Robinson"
    assert np.isfinite(offsets(artist(ax, "used"))).all()


def test_numbers_are_those_of_the_diagnostics(found):
    said = numbers(plot_assimilation(found))
    used = found.isel(obs=(found.status == 0).values)
    assert said["Observations used"] == "270"
    assert (said["outside the background"], said["rejected by flag"]) == ("15", "15")
    assert said["expected"] == f"{float(np.sqrt((used.spread**2 + 0.25).mean())):.3g} °C"
    assert said["CRPS of 11 members"] == f"{float(diagnostics.crps(found).crps_mean):.3g} °C"
    assert said["Innovation, mean"].lstrip("+\N{MINUS SIGN}") == f"{abs(float(used.innovation.mean())):.3g} °C"


def test_other_reasons_have_their_words(found):
    status = found.status.copy(data=np.where(np.arange(300) == 1, 3, found.status))
    status.attrs = {
        "flag_values": np.array([0, 1, 2, 3]),
        "flag_meanings": "used outside flagged same_as_an_earlier_one",
    }
    assert numbers(plot_assimilation(found.assign(status=status)))["same as an earlier one"] == "1"


def test_histograms_have_the_density_of_what_they_show(found, artist):
    ax = panels(plot_assimilation(found))["histogram"]
    for gid in ("innovation", "residual"):
        heights, edges, _ = artist(ax, gid).get_data()
        assert (heights * np.diff(edges)).sum() == pytest.approx(1.0)
    x, y = artist(ax, "expected").get_data()
    assert (y[1:] * np.diff(x)).sum() == pytest.approx(1.0, abs=0.03)
    assert "beyond" not in " ".join(t.get_text() for t in ax.texts)
    far = found.innovation.copy()
    far[1] = 100.0
    texts = [t.get_text() for t in panels(plot_assimilation(found.assign(innovation=far)))["histogram"].texts]
    assert "1 beyond" in texts


def test_rank_histogram_shows_counts_over_what_is_expected(found, artist):
    ranks = diagnostics.rank_histogram(found, rng=0)
    ax = plot_rank_histogram(ranks)
    heights = [p.get_height() for p in ax.patches if p.get_gid() is None or p.get_gid() == "counts"]
    np.testing.assert_allclose(heights[:12], ranks["count"] / ranks.expected)
    assert "Flat as far as can be told" in ax.texts[0].get_text()
    narrow = found.assign(hx=found.hx.mean("member") + 0.3 * (found.hx - found.hx.mean("member")))
    assert "Too little spread" in plot_rank_histogram(diagnostics.rank_histogram(narrow, rng=0)).texts[0].get_text()
    high = plot_rank_histogram(diagnostics.rank_histogram(found.assign(hx=found.hx + 3), rng=0))
    assert "Members lie too high" in high.texts[0].get_text()


def test_spread_skill_points_are_the_bins(found, artist):
    skill = diagnostics.spread_skill(found, bins=6)
    ax = plot_spread_skill(skill, title="Mine", subtitle="")
    x, y = artist(ax, "bins").get_data()
    np.testing.assert_allclose((x, y), (skill.predicted, skill.found))
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_title(loc="left") == "Mine"
    assert ax.get_xlabel() == "Predicted (°C)"


def test_desroziers_bars_and_intervals(found, artist):
    errors = diagnostics.desroziers(found, bootstrap=50, rng=0)
    ax = plot_desroziers(errors)
    lengths = np.array([p.get_width() for p in ax.patches])
    np.testing.assert_allclose(lengths, np.nan_to_num([*errors.stated.values, *errors.estimated.values]))
    ends = np.array([s[:, 0] for s in artist(ax, "interval").get_segments()])
    np.testing.assert_allclose(ends, np.column_stack([errors.low, errors.high]))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["observation", "background", "analysis"]
    words = [t.get_text() for t in ax.texts]
    assert f"\N{MULTIPLICATION SIGN} {float(errors.ratio[0]):.2f}" in words
    assert "none stated" in words, "there is no spread of the analysis"
    bad = diagnostics.desroziers(found.assign(residual=-found.residual))
    assert "negative variance" in [t.get_text() for t in plot_desroziers(bad).texts]


def test_nothing_is_drawn_over_the_edge_or_over_each_other(found):
    for form in (
        found,
        found.drop_vars("obs_time").isel(obs=slice(1, 2)),
        found.assign(innovation=found.innovation * 1e-5),
    ):
        figure = plot_assimilation(form, bins=3)
        figure.canvas.draw()
        box, size = figure.get_tightbbox(), figure.get_size_inches()
        assert -0.02 < box.x0 < box.x1 < size[0] + 0.02
        assert -0.02 < box.y0 < box.y1 < size[1] + 0.02
        boxes = [ax.get_tightbbox() for ax in figure.axes]
        for k, a in enumerate(boxes):
            for b in boxes[k + 1 :]:
                assert min(a.x1, b.x1) - max(a.x0, b.x0) < 3 or min(a.y1, b.y1) - max(a.y0, b.y0) < 3


def test_optimal_interpolation_on_a_plane(artist):
    rng = np.random.default_rng(0)
    coords = {"y": np.arange(6.0) * 1e5, "x": np.arange(9.0) * 1e5}
    background = xr.DataArray(np.zeros((6, 9)), dims=("y", "x"), coords=coords, name="h")
    obs = table(value=rng.normal(size=30), error_std=0.5, x=rng.uniform(0, 8e5, 30), y=rng.uniform(0, 5e5, 30))
    _, said = OptimalInterpolation(background_error_std=1.0, length_scale=2e5).assimilate(background, obs)
    figure = plot_assimilation(said.drop_vars("spread", errors="ignore"), title="", subtitle="")
    assert set(panels(figure)) >= {"map", "histogram", "desroziers"}
    np.testing.assert_allclose(offsets(artist(panels(figure)["map"], "used")), np.column_stack([obs.x, obs.y]))
    assert not figure.texts


def test_several_variables_are_not_mixed(found):
    kinds = np.where(np.arange(300) < 100, "sla", "sst")
    mixed = found.assign(variable=("obs", kinds))
    with pytest.raises(ValueError, match=r"\['sla', 'sst'\].*variable='sla'"):
        plot_assimilation(mixed)
    with pytest.raises(ValueError, match="'salt' is none of them"):
        plot_assimilation(mixed, variable="salt")
    figure = plot_assimilation(mixed, variable="sla")
    assert numbers(figure)["Observations used"] == "90"
    assert figure.texts[1].get_text().startswith("Sla, ")


def test_what_is_no_such_dataset_is_refused(found):
    with pytest.raises(ValueError, match="second of what assimilate returns"):
        plot_assimilation(xr.Dataset())
    with pytest.raises(ValueError, match="none of the observations was used"):
        plot_assimilation(found.assign(status=found.status * 0 + 1))
    with pytest.raises(ValueError, match=r"diagnostics\.rank_histogram"):
        plot_rank_histogram(found)
    with pytest.raises(ValueError, match=r"diagnostics\.spread_skill"):
        plot_spread_skill(found)
    with pytest.raises(ValueError, match=r"diagnostics\.desroziers"):
        plot_desroziers(found)
    with pytest.raises(ValueError, match=r"isel\(lat=0\)"):
        plot_desroziers(diagnostics.desroziers(found, by={"lat": [30, 35, 40]}))
    plot_desroziers(diagnostics.desroziers(found, by={"lat": [30, 35, 40]}).isel(lat=0))
