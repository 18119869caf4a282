"""The stage `heatwaves` of a run file: events, categories of days, what is told of them, and what is refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import Result

from oceankit.anomaly import climatology, heatwave_days, heatwaves
from oceankit.fields import check_integrity, open_fields

pytestmark = pytest.mark.usefixtures("daily_file")
Call = Callable[..., Result]

HEAD = "oceankit: 1\nsteps:\n  - name: hot\n    input: {paths: daily.nc, variable: sst}\n"
BASE = "    anomalies: {period: [2001, 2005], percentile: 90, half_window: 5, smooth: 31, convention: CONVENTION}\n"


def ran(result: Result) -> Result:
    assert result.exit_code == 0, result.stderr
    return result


def refused(result: Result) -> tuple[int, str]:
    """The line and the words of the one mistake."""
    assert result.exit_code == 1
    first, last = result.stderr.splitlines()
    assert last.endswith("1 mistake; nothing was run")
    found = re.match(r".*run\.yaml:(\d+): (.*)", first)
    assert found is not None
    return int(found[1]), found[2]


@pytest.mark.parametrize("convention", ["oliver", "heatwaveR", "heatwave3", "xmhw"])
def test_events_and_days_are_those_of_the_library(oceankit: Call, folder: Path, daily_file: Path, convention: str):
    stage = "    heatwaves: {min_duration: 4, max_gap: 1, max_missing: 3, save: events.nc, save_days: days.zarr}\n"
    text = HEAD + BASE.replace("CONVENTION", convention) + stage + "    product: out.nc\n"
    result = ran(oceankit(text, "--output", str(folder / "out")))
    sst = xr.open_dataset(daily_file).sst
    clim = climatology(sst, period=(2001, 2005), convention=convention)
    options = {"min_duration": 4, "max_gap": 1, "max_missing": 3}
    expected, days = heatwaves(sst, clim, **options), heatwave_days(sst, clim, **options)
    events = xr.load_dataset(folder / "out" / "events.nc")
    assert events.sizes["event"] == expected.sizes["event"] > 3
    for name in ("start", "end", "peak", "duration", "intensity_max", "rate_onset", "category", "cell", "lat", "lon"):
        np.testing.assert_array_equal(events[name], expected[name], err_msg=name)
    assert events.attrs["convention"] == convention
    np.testing.assert_array_equal(open_fields(folder / "out" / "days.zarr").heatwave_category, days)
    np.testing.assert_array_equal(xr.load_dataset(folder / "out" / "out.nc").sst_threshold, clim.threshold)
    options = json.loads(events.attrs["provenance"])["options"]
    assert (options["anomalies"]["convention"], options["heatwaves"]["max_gap"]) == (convention, 1)
    assert all(check_integrity(folder / "out" / name).ok for name in ("events.nc", "days.zarr", "out.nc"))
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("  heatwaves ")]
    top = expected.isel(event=int(expected.intensity_max.argmax("event")))
    assert (
        f"{expected.sizes['event']} heatwaves; strongest: {float(top.intensity_max):.2f} °C above the mean on " in line
    )
    assert "June 2003 at 1°N 175°W, category " in line
    assert f", {int(top.duration)} days" in line


def test_cold_spells_by_a_low_percentile_and_no_event_at_all(oceankit: Call, folder: Path):
    text = HEAD + "    anomalies: {period: [2001, 2005], percentile: 10}\n    heatwaves: {save: cold.zarr LONG}\n"
    result = ran(oceankit(text.replace(" LONG", ", min_duration: 3"), "--output", str(folder)))
    assert re.search(r"\d+ cold spells?; strongest: [\d.]+ °C below the mean on ", result.stdout)
    events = open_fields(folder / "cold.zarr")
    assert (events.intensity_max < 0).all()
    assert events.attrs["title"] == "hot: cold spells"
    result = ran(oceankit(text.replace(" LONG", ", min_duration: 500"), "--output", str(folder)))
    assert re.search(r"  heatwaves +no cold spells  \[", result.stdout)
    assert open_fields(folder / "cold.zarr").sizes["event"] == 0


def test_categories_are_drawn_and_told_in_the_bulletin(oceankit: Call, folder: Path):
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    figures = "{kind: map, show: category, file: last.png, dpi: 60}, " + (
        "{kind: map, show: category, time: 2003-06-10, file: june.png, dpi: 60}"
    )
    text = HEAD + BASE.replace("CONVENTION", "oliver") + f"    heatwaves: {{}}\n    figure: [{figures}]\n"
    ran(oceankit(text + "    bulletin: hot.html\n", "--output", str(folder)))
    assert all((folder / name).read_bytes()[:4] == b"\x89PNG" for name in ("last.png", "june.png"))
    page = (folder / "hot.html").read_text(encoding="utf-8")
    for words in (
        "Category of the heatwave, 31 December 2005.",
        "Category of the heatwave, 10 June 2003.",
        "heatwaves, 1 January 2001 to 31 December 2005. Strongest: ",
        "in the convention oliver: at least 5 days above the percentile 90 of the day of the year",
        "20 June 2003",
    ):
        assert words in page
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize(
    ("stages", "line", "expected"),
    [
        ("heatwaves: {save: e.nc}", 5, "hot.heatwaves: needs the climatology of 'anomalies', which the step does not have"),
        ("anomalies: {period: [2001, 2005], by: month}\n    heatwaves: {save: e.nc}", 6,
         "hot.heatwaves: needs a threshold for each day, and 'anomalies' has 'by: month'"),
        ("anomalies: {period: [2001, 2005], by: month, convention: xmhw}\n    product: a.nc", 5,
         "hot.anomalies.convention: is for 'by: dayofyear'"),
        ("anomalies: {period: [2001, 2005], convention: olivier}\n    product: a.nc", 5,
         "hot.anomalies.convention: 'olivier' is not known (one of oliver, heatwaveR, heatwave3, xmhw); did you mean 'oliver'?"),
        ("anomalies: {period: [2001, 2005]}\n    heatwaves: {save: e.nc, min_duration: 0}", 6,
         "hot.heatwaves.min_duration: is 0, but must be a whole number at least 1"),
        ("anomalies: {period: [2001, 2005]}\n    heatwaves: {save: e.nc, cold: true}", 6,
         "hot.heatwaves.cold: cold=True contradicts the climatology, whose threshold is its percentile 90"),
        ("anomalies: {period: [2001, 2005], percentile: 50}\n    heatwaves: {save: e.nc}", 6,
         "hot.heatwaves: the climatology has no percentile above or below 50"),
        ("anomalies: {period: [2001, 2005]}\n    heatwaves: {save: e.nc, save_days: e.nc}", 6, "'e.nc' is written twice"),
        ("anomalies: {period: [2001, 2005]}\n    heatwaves: {save: e.csv}", 6, "is 'e.csv', but must end in .nc or .zarr"),
        ("anomalies: {period: [2001, 2005]}\n    heatwaves: {max_gap: 1}", 3, "steps.hot: writes nothing"),
        ("figure: {kind: map, show: category, file: a.png}", 5, "'category' comes from 'heatwaves'"),
        ("anomalies: {period: [2001, 2005]}\n    heatwaves: {}\n"
         "    figure: {kind: map, show: category, cmap: viridis, file: a.png}", 7, "figure.cmap: is not for 'category'"),
        ("anomalies: {period: [2001, 2005]}\n    heatwaves: {}\n"
         "    figure: {kind: hovmoller, show: category, file: a.png}", 7, "figure.show: 'category' is for 'map'"),
        ("anomalies: {period: [2001, 2005]}\n    heatwaves: {}\n"
         "    figure: {kind: map, show: category, time: 2003-06, file: a.png}", 7, "there are 30 times in '2003-06'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_computed(
    oceankit: Call, folder: Path, stages: str, line: int, expected: str
):
    at, message = refused(oceankit(f"{HEAD}    {stages}\n", "--check"))
    assert at == line
    assert expected in message


def test_half_days_are_refused(oceankit: Call, daily_file: Path, folder: Path):
    sst = xr.load_dataset(daily_file)
    night = sst.assign_coords(time=sst.time + np.timedelta64(12, "h"))
    xr.concat([sst, night], "time").sortby("time").to_netcdf(folder / "half.nc")
    text = HEAD.replace("daily.nc", "half.nc") + "    anomalies: {period: [2001, 2005]}\n    heatwaves: {save: e.nc}\n"
    assert refused(oceankit(text)) == (
        6, "steps.hot.heatwaves: needs a daily field, and the steps of 'sst' are not days; give daily means",
    )  # fmt: skip


def test_a_hole_in_the_axis_of_time_is_said_with_its_date(oceankit: Call, daily_file: Path, folder: Path):
    sst = xr.load_dataset(daily_file)
    sst.drop_isel(time=[500, 501]).to_netcdf(folder / "hole.nc")
    text = HEAD.replace("daily.nc", "hole.nc") + "    anomalies: {period: [2001, 2005]}\n    heatwaves: {save: e.nc}\n"
    assert "'time' jumps from 2002-05-15" in refused(oceankit(text))[1]
