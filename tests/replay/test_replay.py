"""Days lived one by one: nothing seen before its time, nothing lost, and the same in whatever order days come."""

import json
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("torch", reason="needs the extra 'forecast'")
from replay.seas import PLAIN, products, sea, settings

from oceankit.anomaly import heatwaves, updated_events
from oceankit.replay import ReplayError, Settings, replay, schedule
from oceankit.replay.checking import Checks
from oceankit.replay.living import read
from oceankit.replay.normals import place_in_year
from oceankit.replay.preparing import prepared
from oceankit.replay.records import Record
from oceankit.replay.regions import reached_by


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """What is learnt before the first day, which all runs of this sea share."""
    folder = tmp_path_factory.mktemp("learnt")
    return folder, prepared(sea(), settings(), folder)


@pytest.fixture(scope="module")
def undisturbed(learnt, tmp_path_factory):
    return run(learnt, tmp_path_factory.mktemp("run") / "undisturbed")


def run(learnt, folder: Path, field: xr.DataArray | None = None, **more: object) -> Path:
    shutil.copytree(learnt[0], folder / "prepared")
    given = settings(**more)
    (folder / "settings.json").write_text(given.as_json())
    replay(sea() if field is None else field, folder, given)
    return folder


# ---- how days come ---------------------------------------------------------------------------------------------------


def test_deliveries_of_a_day_hang_on_nothing_else():
    days = np.arange("2015-01-01", "2015-07-01", dtype="M8[D]")
    whole = schedule(days, late=0.2, again=0.1, corrected=0.2)
    part = schedule(days[30:], late=0.2, again=0.1, corrected=0.2)
    assert [d for d in whole if d.day >= days[30]] == part
    assert {d.day for d in whole} == set(days)
    assert all(d.arrives >= d.day for d in whole)
    assert max(d.arrives for d in whole) == days[-1]
    assert [d.arrives for d in whole] == sorted(d.arrives for d in whole)
    assert {d.kind for d in schedule(days, **PLAIN)} == {"in time"}


def test_errors_are_set_aside_and_heatwaves_are_not(learnt):
    ready = learnt[1]
    record = Record(sea(), ready.mean, ready.checks, settings())
    kinds: dict[str, list[int]] = {}
    for day in settings().lived:
        for arrival in record.receive(day):
            kinds.setdefault(arrival.delivery.kind, []).append(arrival.rejected)
    assert sum(kinds["preliminary"]) > 0
    assert sum(kinds["in time"]) + sum(kinds["late"]) + sum(kinds["corrected"]) == 0
    expected = sea().sel(time=record.days.astype("M8[ns]")).values.reshape(len(record.days), -1)
    np.testing.assert_array_equal(record.values, expected)


def test_limits_are_beyond_all_that_was_seen():
    rng = np.random.default_rng(0)
    seen = rng.standard_t(3, size=(3000, 4))
    checks, zero = Checks.learnt(seen), np.zeros(4)
    for before, day in pairwise(seen):
        assert (checks.flags(day, zero, before, zero) == 1).all()
    assert checks.flags(np.array([1e3, np.nan, 0, 0]), zero, zero, zero).tolist() == [4, 9, 1, 1]


def test_places_in_the_year():
    days = np.array(["2015-02-28", "2015-03-01", "2016-02-29", "2016-03-01", "2015-12-31"], "M8[D]")
    assert [place_in_year(d) for d in days] == [58, 60, 59, 60, 365]


def test_what_a_part_of_the_area_reaches():
    rng = np.random.default_rng(2)
    values, area = rng.normal(size=(50, 9)), rng.uniform(0.1, 1, 9)
    values[rng.random(values.shape) < 0.2] = np.nan
    for row, found in zip(values, reached_by(values, area, 0.3), strict=True):
        known = np.isfinite(row)
        if area[known].sum() < 0.5 * area.sum():
            assert np.isnan(found)
            continue
        at_least = [v for v in row[known] if area[known][row[known] >= v].sum() >= 0.3 * area[known].sum()]
        assert found == max(at_least)


# ---- nothing before its time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("day", [pytest.param("2006-07-01", marks=pytest.mark.extra), "2006-07-09"])
def test_what_comes_later_changes_nothing(learnt, undisturbed, tmp_path, day):
    spoilt = sea()
    later = spoilt["time"] > np.datetime64(day)
    spoilt.values[later.values] = np.random.default_rng(0).uniform(-5, 40, (int(later.sum()), 3, 4))
    found = run(learnt, tmp_path / "spoilt", spoilt)
    assert products(found, day) == products(undisturbed, day)
    assert products(found) != products(undisturbed)


def test_what_is_learnt_knows_nothing_of_later_days(learnt, tmp_path):
    spoilt = sea()
    spoilt.values[spoilt["time"].dt.year.values > 2005] = 30.0
    prepared(spoilt, settings(), tmp_path)
    for name in ("climatology.nc", "model.safetensors"):
        assert (tmp_path / name).read_bytes() == (learnt[0] / name).read_bytes()


# ---- the same in whatever order --------------------------------------------------------------------------------------


def test_the_last_state_is_that_of_all_days_at_once(learnt, undisturbed):
    clim = learnt[1].clim
    state = read(undisturbed / "days", np.datetime64("2006-07-14"), "state.nc")
    found = updated_events(state.assign(dict(clim.data_vars)))
    batch = heatwaves(sea().sel(time=slice("2006-01-01", "2006-07-14")).astype("f8"), clim)
    assert batch.sizes["event"] >= 11
    for name in ("start", "end", "duration", "intensity_max", "intensity_cumulative"):
        np.testing.assert_array_equal(found[name], batch[name], err_msg=name)


def test_late_repeated_and_corrected_days_end_in_the_same_state(learnt, undisturbed, tmp_path):
    in_order = run(learnt, tmp_path / "in order", **PLAIN)
    last = np.datetime64("2006-07-14")
    a, b = (read(folder / "days", last, "state.nc") for folder in (undisturbed, in_order))
    xr.testing.assert_identical(a.drop_attrs(), b.drop_attrs())
    told = [read(undisturbed / "days", d, "day.json") for d in settings().lived]
    assert {x["kind"] for t in told for x in t["arrived"]} == {"in time", "late", "again", "preliminary", "corrected"}
    assert any(t["missing_days"] for t in told)
    assert not told[-1]["missing_days"]


# ---- killed ----------------------------------------------------------------------------------------------------------

WORKER = """
import sys
sys.path.insert(0, sys.argv[1])
from oceankit.replay import replay
from replay.seas import sea, settings
replay(sea(), sys.argv[2], settings())
"""


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.extra)])
def test_killed_at_any_moment(learnt, undisturbed, tmp_path, kills):
    folder = tmp_path / "killed"
    shutil.copytree(learnt[0], folder / "prepared")
    (folder / "settings.json").write_text(settings().as_json())
    rng, done = np.random.default_rng(kills), 0
    days = folder / "days"
    for _ in range(kills):
        process = begin(folder)
        # Within the next days, and anywhere within a day.
        aim = min(done + int(rng.integers(1, 3)), 13)
        while process.poll() is None and (len(list(days.glob("2*"))) if days.exists() else 0) < aim:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = len(list(days.glob("2*")))
    process = begin(folder)
    assert process.wait(300) == 0
    assert products(folder) == products(undisturbed)
    assert not list(days.glob(".*"))


def begin(folder: Path) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-c", WORKER, str(Path(__file__).parents[1]), str(folder)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


# ---- what a reader gets ----------------------------------------------------------------------------------------------


def test_a_day_tells_everything(undisturbed):
    day = undisturbed / "days" / "2006-07-13"
    names = {p.name for p in day.iterdir()}
    assert names >= {
        "sea.nc", "objects.nc", "forecast.nc", "state.nc", "bulletin.zh.txt", "bulletin.en.txt", "bulletin.geojson",
        "scores.csv", "day.json",
    }  # fmt: skip
    assert "map.png" in {p.name for p in (undisturbed / "days" / "2006-07-01").iterdir()}
    told = json.loads((day / "day.json").read_text())
    assert told["alert"] >= 1
    forecast = read(undisturbed / "days", np.datetime64("2006-07-13"), "forecast.nc")
    assert forecast["lead_time"].values.tolist() == list(range(8))
    assert float(forecast["region_probability"].max()) <= 1
    assert "2006-07-14" in (day / "bulletin.en.txt").read_text()
    leads = [int(row["lead"]) for row in read(undisturbed / "days", np.datetime64("2006-07-13"), "scores.csv")]
    assert leads == list(range(1, 8))


def test_the_report_says_what_matters_first(undisturbed):
    page = (undisturbed / "report.html").read_text()
    first = page[: page.index("<h2>")]
    assert "damped persistence" in first
    assert "blue" in first
    assert page.count("data:image/png") == 4
    judged = json.loads((undisturbed / "judgement.json").read_text())
    blue = judged["alerts"][0]
    assert blue["hits"] + blue["misses"] == blue["days_observed"] > 5
    assert judged["delivered"]["late"] > 0


def test_a_series_is_lived_in_the_same_way(tmp_path):
    given = settings("2006-07-05")
    path = replay(sea(()), tmp_path / "series", given)
    assert path.exists()
    assert not (tmp_path / "series" / "days" / "2006-07-05" / "objects.nc").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"train": ("2001", "2006")}, "train ends with 2006, but the first day that is lived is 2006-07-01"),
        ({"base": ("2001", "2007")}, "base ends with 2007"),
        ({"days": ("2006-08-01", "2006-07-01")}, "days begin with 2006-08-01"),
        ({"leads": (3, 1)}, "leads is"),
        ({"share": 0.0}, "share is 0.0"),
        ({"late": 0.9}, "late, again and corrected"),
        ({"place": {"en": "sea"}}, "place is"),
    ],
)
def test_what_cannot_be_is_refused(more, words):
    with pytest.raises(ReplayError, match=words):
        settings(**more)


def test_a_field_that_does_not_fit_is_refused(tmp_path, undisturbed):
    with pytest.raises(ReplayError, match="is not daily: after 2003-01-01 comes 2003-01-03"):
        replay(sea().drop_sel(time="2003-01-02"), tmp_path, settings())
    with pytest.raises(ReplayError, match="days wants 2009"):
        replay(sea(), tmp_path, settings("2009-01-01"))
    with pytest.raises(ReplayError, match="holds a replay with share=0.1, and now it is 0.5"):
        replay(sea(), undisturbed, settings(share=0.5))
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ReplayError, match="holds other files"):
        replay(sea(), tmp_path, settings())


# ---- a real sea ------------------------------------------------------------------------------------------------------


@pytest.mark.extra
def test_a_real_sea_knows_nothing_of_later_days_and_ends_as_all_days_at_once(shared, tmp_path):
    """Every fourth cell off Tasmania, two weeks around the first severe days of the heatwave of 2015/16."""
    path = shared / "data" / "oisst_tasmania" / "oisst_tasmania_1982_2016.nc"
    if not path.exists():
        pytest.skip("needs the daily sea surface temperature off Tasmania")
    with xr.open_dataset(path) as ds:
        field = ds["sst"][:, ::4, ::4].load()
    given = Settings(
        base=("1983", "2011"), train=("2004", "2011"), days=("2015-12-08", "2015-12-22"), confidence=0.1, maps=5, seed=5,
        late=0.2, again=0.1, corrected=0.2,
    )  # fmt: skip
    ready = prepared(field, given, tmp_path / "learnt")

    def lived(values: xr.DataArray, name: str) -> Path:
        shutil.copytree(tmp_path / "learnt", tmp_path / name / "prepared")
        (tmp_path / name / "settings.json").write_text(given.as_json())
        replay(values, tmp_path / name, given)
        return tmp_path / name

    whole = lived(field, "whole")
    for day in ("2015-12-08", "2015-12-13", "2015-12-17", "2015-12-21"):
        spoilt = field.copy(deep=True)
        later = (spoilt["time"] > np.datetime64(day) + np.timedelta64(1, "D") - np.timedelta64(1, "s")).values
        spoilt.values[later] = np.random.default_rng(0).uniform(-5, 40, (int(later.sum()), *field.shape[1:]))
        assert products(lived(spoilt, f"spoilt {day}"), day) == products(whole, day)
    state = read(whole / "days", given.last, "state.nc")
    found = updated_events(state.assign(dict(ready.clim.data_vars)))
    batch = heatwaves(field.sel(time=slice("2012-01-01", "2015-12-22")).astype("f8"), ready.clim)
    for name in ("start", "end", "duration", "intensity_max", "intensity_cumulative"):
        np.testing.assert_array_equal(found[name], batch[name], err_msg=name)
