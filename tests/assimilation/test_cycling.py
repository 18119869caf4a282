"""Cycling: restarts after kill -9, windows, external models, refusals, and a basin whose truth is known."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oceankit.assimilation import ETKF, LETKF, RTPS, EnKF, GaspariCohn, cycling, twin
from oceankit.assimilation import _cycling_checks as checks
from oceankit.fields import check_integrity
from oceankit.observations import table

START = np.datetime64("2000-01-01", "ns")
DAY = np.timedelta64(1, "D")
TIMES = START + np.arange(1, 6) * DAY
FILES = ("background", "analysis")


def decay(ensemble, start, end):
    """A model: what is left after so many days."""
    days = (end - start) / DAY
    return ensemble * np.float32(0.9**days)


@pytest.fixture
def sea():
    """float32 (member, y, x), with land."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 4, 5)).cumsum(axis=1).astype(np.float32)
    values[:, 0, 0] = np.nan
    coords = {"member": np.arange(6), "y": np.arange(4.0), "x": np.arange(5.0), "time": START}
    return xr.Dataset({"sla": (("member", "y", "x"), values, {"units": "m"})}, coords=coords)


@pytest.fixture
def seen():
    """Three observations half a day before each analysis but the third, and two long before."""
    rng = np.random.default_rng(1)
    when = np.repeat(TIMES[[0, 1, 3, 4]] - DAY // 2, 3)
    when = np.concatenate([when, [START - 9 * DAY, START]])
    n = when.size
    return table(
        value=rng.normal(size=n), error_std=0.5, x=rng.uniform(1, 4, n), y=rng.uniform(1, 3, n), time=when, units="m"
    )


def go(sea, seen, folder, method=None, model=decay, **options):
    method = EnKF(localization=GaspariCohn(3.0)) if method is None else method
    return cycling.run(method, sea, model, seen, times=TIMES, directory=folder, **options)


def values(folder, suffix=".nc"):
    """Everything that lies in the files of a run, as bytes."""
    out = {}
    for path in sorted(Path(folder).glob(f"cycle_*{suffix}")):
        engine = {"engine": "zarr", "consolidated": False} if path.is_dir() else {}
        with xr.open_dataset(path, decode_times=False, **engine) as ds:
            out[path.name] = {n: (str(v.dtype), v.values.tobytes()) for n, v in ds.variables.items()}
    return out


# ---- what it does -------------------------------------------------------------------------------------------------------


def test_it_is_forecast_and_analysis_in_turn(sea, seen, tmp_path):
    method = EnKF(localization=GaspariCohn(3.0), rng=5)
    before = method.rng.bit_generator.state
    found = go(sea, seen, tmp_path, method)
    assert method.rng.bit_generator.state == before
    now = sea.drop_vars("time")
    for k in range(5):
        now = decay(now, START, START + DAY)
        mine = seen.isel(obs=(seen.time.values > TIMES[k] - DAY) & (seen.time.values <= TIMES[k]))
        with xr.open_dataset(tmp_path / f"cycle_{k:05d}_background.nc") as ds:
            np.testing.assert_array_equal(ds.sla, now.sla)
            assert ds.time.values == TIMES[k]
            assert ds.sla.dtype == np.float32
        if mine.sizes["obs"]:
            one = EnKF(localization=GaspariCohn(3.0), rng=np.random.default_rng([0, k]))
            now, said = one.assimilate(now, mine)
            assert float(found.innovation_rms[k]) == float(said.innovation_rms)
        with xr.open_dataset(tmp_path / f"cycle_{k:05d}_analysis.nc") as ds:
            np.testing.assert_array_equal(ds.sla, now.sla)
        np.testing.assert_allclose(found.spread_a[k], np.sqrt(now.sla.astype(float).var("member", ddof=1).mean()))
    assert found.outcome.values.tolist() == ["analysed", "analysed", "no observations", "analysed", "analysed"]
    assert found.n_used.values.tolist() == [3, 3, 0, 3, 3]
    assert np.isnan(found.innovation_chi2[2])
    assert int(found.n_outside_windows) == 2
    np.testing.assert_array_equal(found.time, TIMES)
    assert check_integrity(tmp_path / str(found.analysis.values[4])).ok
    assert not list(tmp_path.glob("*.part"))


def test_a_second_call_does_nothing_again(sea, seen, tmp_path):
    first = go(sea, seen, tmp_path)

    def never(ensemble, start, end):
        raise AssertionError("called")

    never.__qualname__, never.__module__ = decay.__qualname__, decay.__module__
    xr.testing.assert_identical(go(sea, seen, tmp_path, model=never), first)


def test_times_may_begin_at_the_ensembles_own(sea, seen, tmp_path):
    times = np.concatenate([[START], TIMES])
    found = cycling.run(ETKF(), sea, decay, seen, times=pd.DatetimeIndex(times), directory=tmp_path)
    with xr.open_dataset(tmp_path / "cycle_00000_background.nc") as ds:
        np.testing.assert_array_equal(ds.sla, sea.sla)
    assert int(found.n_observations[0]) == 1


def test_windows():
    times = np.array(["2000-01-02", "2000-01-03", "2000-01-07"], "M8[ns]")
    trailing = checks.windows_of(times, START, "trailing")
    np.testing.assert_array_equal(trailing, np.array([["2000-01-01", "2000-01-02"], ["2000-01-02", "2000-01-03"],
                                                      ["2000-01-03", "2000-01-07"]], "M8[ns]"))  # fmt: skip
    centred = checks.windows_of(times, START, "centred")
    np.testing.assert_array_equal(centred, np.array([["2000-01-01T12", "2000-01-02T12"], ["2000-01-02T12", "2000-01-05"],
                                                     ["2000-01-05", "2000-01-09"]], "M8[ns]"))  # fmt: skip
    at = table(value=[1.0, 2.0], error_std=1.0, x=[0, 0], y=[0, 0], time=["2000-01-02", "2000-01-03"])
    assert checks.in_window(at, trailing[0]).value.values.tolist() == [1.0]
    assert checks.in_window(at, trailing[1]).value.values.tolist() == [2.0]
    assert checks.in_window(at, trailing[2]) is None


def test_only_the_last_are_kept_and_zarr_is_the_same(sea, seen, tmp_path):
    whole, last, zarr = (tmp_path / n for n in ("whole", "last", "zarr"))
    found = go(sea, seen, whole)
    few = go(sea, seen, last, keep="last")
    go(sea, seen, zarr, format="zarr", keep="last")
    assert sorted(p.name for p in last.glob("cycle_*")) == [f"cycle_00004_{k}.nc" for k in ("analysis", "background")]
    assert few.analysis.values.tolist() == [""] * 4 + ["cycle_00004_analysis.nc"]
    np.testing.assert_array_equal(few.spread_a, found.spread_a)
    name = "cycle_00004_analysis"
    assert values(last)[f"{name}.nc"]["sla"] == values(whole)[f"{name}.nc"]["sla"]
    assert values(zarr, ".zarr")[f"{name}.zarr"]["sla"] == values(whole)[f"{name}.nc"]["sla"]
    xr.testing.assert_identical(go(sea, seen, last, keep="last"), few)


def test_observations_by_callable(sea, seen, tmp_path):
    def source(start, end):
        mine = seen.isel(obs=(seen.time.values > start) & (seen.time.values <= end))
        return mine if mine.sizes["obs"] else None

    by_table = go(sea, seen, tmp_path / "table")
    by_call = go(sea, source, tmp_path / "call")
    np.testing.assert_array_equal(by_call.spread_a, by_table.spread_a)
    assert int(by_call.n_outside_windows) == 0
    with pytest.raises(ValueError, match="outside that window"):
        go(sea, lambda start, end: seen, tmp_path / "other")


def test_a_window_whose_observations_are_all_outside_is_a_forecast(sea, seen, tmp_path):
    away = seen.copy(deep=True)
    away.x[:3] = 99.0
    away = away.assign(flag=("obs", np.where(np.arange(14) == 0, 4, 1)))
    found = go(sea, away, tmp_path)
    assert str(found.outcome.values[0]) == "no usable observations"
    assert (int(found.n_outside[0]), int(found.n_flagged[0]), int(found.n_used[0])) == (2, 1, 0)


# ---- killed -------------------------------------------------------------------------------------------------------------

WORKER = textwrap.dedent("""
    import sys, time
    import numpy as np
    import xarray as xr
    from oceankit.assimilation import EnKF, GaspariCohn, cycling
    from oceankit.observations import table

    sea = xr.open_dataset(sys.argv[1], decode_timedelta=False).load()
    sea = sea.assign_coords(time=np.datetime64("2000-01-01", "ns"))
    rng = np.random.default_rng(1)
    times = np.datetime64("2000-01-01", "ns") + np.arange(1, 13) * np.timedelta64(1, "D")
    n = 36
    obs = table(value=rng.normal(size=n), error_std=0.5, x=rng.uniform(1, 4, n), y=rng.uniform(1, 3, n),
                time=np.repeat(times, 3))

    class Slow:
        def __repr__(self):
            return "slow"

        def __call__(self, ensemble, start, end):
            time.sleep(0.02)
            return ensemble * np.float32(0.9) + np.float32(0.01)

    cycling.run(EnKF(localization=GaspariCohn(3.0)), sea, Slow(), obs, times=times, directory=sys.argv[2], keep=sys.argv[3],
                format=sys.argv[4])
""")


@pytest.mark.slow
@pytest.mark.parametrize(("keep", "form"), [pytest.param("all", "netcdf", marks=pytest.mark.extra), ("last", "zarr")])
def test_after_kill_9_the_same_bits(sea, tmp_path, keep, form):
    """Killed at moments drawn, over and over, until it gets through."""
    script, source = tmp_path / "worker.py", tmp_path / "sea.nc"
    script.write_text(WORKER)
    sea.drop_vars("time").to_netcdf(source)

    def begin(folder):
        args = [sys.executable, str(script), str(source), str(folder), keep, form]
        return subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def finished(folder):
        place = folder / "ledger.json"
        return len(json.loads(place.read_text())["cycles"]) if place.exists() else 0

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = begin(whole)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err.decode()
    rng, killed_at = np.random.default_rng(7), []
    for _ in range(20):
        process = begin(broken)
        aim = finished(broken) + int(rng.integers(1, 5))
        while process.poll() is None and finished(broken) < aim:
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0.0, 0.1)))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            killed_at.append(finished(broken))
        _, err = process.communicate(timeout=300)
        assert process.returncode in (0, -signal.SIGKILL), err.decode()
        if process.returncode == 0:
            break
    assert process.returncode == 0
    assert len(killed_at) >= 2, killed_at
    suffix = ".nc" if form == "netcdf" else ".zarr"
    ours, theirs = values(broken, suffix), values(whole, suffix)
    assert len(theirs) == (24 if keep == "all" else 2)
    assert ours == theirs
    entries = [json.loads((f / "ledger.json").read_text())["cycles"] for f in (broken, whole)]
    for a, b in zip(*entries, strict=True):
        assert {k: v for k, v in a.items() if "seconds" not in k} == {k: v for k, v in b.items() if "seconds" not in k}


def test_a_forecast_that_is_done_is_not_made_again(sea, seen, tmp_path):
    """An analysis that fails leaves the background."""
    calls = []

    def counted(ensemble, start, end):
        calls.append(start)
        return decay(ensemble, start, end)

    def bad(field, observations):
        raise RuntimeError("the instrument's operator broke")

    hx = bad
    with pytest.raises(RuntimeError, match="operator broke"):
        go(sea, seen, tmp_path, model=counted, hx=hx)
    assert len(calls) == 1

    def good(field, observations):
        from oceankit.observations.operators import Interp

        return Interp()(field, observations)

    good.__qualname__ = bad.__qualname__
    found = go(sea, seen, tmp_path, model=counted, hx=good)
    assert len(calls) == 5
    np.testing.assert_array_equal(found.spread_a, go(sea, seen, tmp_path / "other").spread_a)


def test_another_run_is_refused(sea, seen, tmp_path):
    go(sea, seen, tmp_path)
    before = values(tmp_path)
    moved = sea.assign_coords(x=sea.x + 1)
    for call, words in (
        (lambda: go(sea, seen, tmp_path, EnKF(localization=GaspariCohn(4.0))), r"method was .*\(3\).* and is .*\(4\)"),
        (lambda: go(sea, seen, tmp_path, seed=1), "seed was 0 and is 1"),
        (lambda: go(moved, seen, tmp_path), "grid and fields was"),
        (lambda: go(sea * 2, seen, tmp_path), "first ensemble was"),
        (lambda: go(sea, seen.assign(value=seen.value + 1), tmp_path), "observations was"),
        (lambda: go(sea, seen, tmp_path, window="centred"), "window was"),
        (lambda: go(sea, seen, tmp_path, model=lambda e, s, t: e), "model was"),
        (lambda: cycling.run(EnKF(localization=GaspariCohn(3.0)), sea, decay, seen, times=TIMES[:4], directory=tmp_path),
         "times was"),
        (lambda: go(sea, seen, tmp_path, resume=False), "holds a run already, of 5 cycles"),
    ):  # fmt: skip
        with pytest.raises(cycling.LedgerError, match=words):
            call()
    assert values(tmp_path) == before
    (tmp_path / "cycle_00002_analysis.nc").unlink()
    with pytest.raises(cycling.LedgerError, match="cycle_00002_analysis.nc' is gone"):
        go(sea, seen, tmp_path)
    (tmp_path / "ledger.json").write_text("{")
    with pytest.raises(cycling.LedgerError, match="no ledger"):
        go(sea, seen, tmp_path)


def test_a_changed_file_is_noticed(sea, seen, tmp_path):
    go(sea, seen, tmp_path)
    path = tmp_path / "cycle_00004_analysis.nc"
    changed = xr.load_dataset(path)
    changed["sla"][0, 2, 2] += 1
    changed.to_netcdf(path)
    with pytest.raises(cycling.LedgerError, match="not as it was written"):
        go(sea, seen, tmp_path)


def test_one_process_at_a_time(sea, seen, tmp_path):
    def inner(ensemble, start, end):
        return go(sea, seen, tmp_path)

    with pytest.raises(cycling.LedgerError, match="another process is at work"):
        go(sea, seen, tmp_path, model=inner)


# ---- commands -----------------------------------------------------------------------------------------------------------

PROGRAM = textwrap.dedent("""
    import os, sys, time
    import numpy as np, xarray as xr
    source, output, start, end, how = sys.argv[1:6]
    days = (np.datetime64(end) - np.datetime64(start)) / np.timedelta64(1, "D")
    ds = xr.open_dataset(source).load()
    member = int(sys.argv[6]) if len(sys.argv) > 6 else None
    if how == "fails" and member in (None, 2):
        print("first line\\nthe boundary file is missing", file=sys.stderr)
        sys.exit(3)
    if how == "sleeps":
        time.sleep(60)
    if how == "nothing":
        sys.exit(0)
    if how == "garbage":
        open(output, "w").write("no netcdf")
        sys.exit(0)
    ds["sla"] = ds.sla * np.float32(0.9 ** days)
    if how == "fewer":
        ds = ds.isel(member=slice(3))
    if how == "nan":
        ds.sla[..., 2, 2] = np.nan
    if how == "land":
        ds = ds.fillna(0.0)
    if how == "shifted":
        ds = ds.assign_coords(x=ds.x + 0.5)
    if how == "double":
        ds = ds.astype("f8")
    if how == "renamed":
        ds = ds.rename(sla="zeta")
    if how == "times":
        ds = xr.concat([ds, ds], "time")
    assert os.environ.get("MODEL_MODE", "x") in ("x", "fast")
    ds.to_netcdf(output)
""")


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(PROGRAM)

    def command(how="well", **options):
        args = [sys.executable, path, "{input}", "{output}", "{start}", "{end}", how]
        return cycling.Command(args + ["{member}"] * bool(options.get("per_member")), **options)

    return command


@pytest.mark.parametrize("options", [{}, {"per_member": True}, {"per_member": True, "workers": 3}])
def test_a_command_is_the_same_model(sea, seen, tmp_path, program, options):
    given, sea = {"times": TIMES[:1], "seed": 3}, sea.isel(member=slice(3))
    method = EnKF(localization=GaspariCohn(3.0))
    inside = cycling.run(method, sea, decay, seen, directory=tmp_path / "inside", **given)
    command = program(env={"MODEL_MODE": "fast"}, timeout=120, folder=tmp_path, **options)
    outside = cycling.run(method, sea, command, seen, directory=tmp_path / "outside", **given)
    assert values(tmp_path / "outside") == values(tmp_path / "inside")
    np.testing.assert_array_equal(outside.spread_a, inside.spread_a)
    assert not list(tmp_path.glob("oceankit-*"))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("fails", r"exit status 3; the end of its stderr:\nfirst line\nthe boundary file is missing"),
        ("nothing", "wrote no output"),
        ("garbage", "cannot be read"),
        ("fewer", "'member'"),
        ("nan", r"'sla' with 6 values missing .*\{'member': 0, 'y': 2, 'x': 2\}"),
        ("land", "write land as NaN"),
        ("shifted", "another 'x'"),
        ("double", "as float64"),
        ("renamed", "gave no 'sla'"),
        ("times", "2 times"),
    ],
)
def test_what_a_command_does_wrong_is_said_and_results_stay(sea, seen, tmp_path, program, how, words):
    folder = tmp_path / "run"
    good, bad = program(), program(how)

    def model(ensemble, start, end):
        return (good if start == START else bad)(ensemble, start, end)

    with pytest.raises(cycling.ModelError, match=words):
        go(sea, seen, folder, model=model)
    assert list(values(folder)) == ["cycle_00000_analysis.nc", "cycle_00000_background.nc"]
    assert check_integrity(folder / "cycle_00000_analysis.nc").ok


def test_a_member_that_fails_is_named(sea, tmp_path, program):
    sea = sea.isel(member=slice(3))
    with pytest.raises(cycling.ModelError, match=r"\(member 2\) failed with exit status 3"):
        program("fails", per_member=True, workers=2)(sea.drop_vars("time"), START, START + DAY)
    for how, words in (("shifted", "another 'x'"), ("renamed", "has no 'sla'")):
        command = program(how, per_member=True)
        with pytest.raises(cycling.ModelError, match=words):
            checks.like_before(command(sea.drop_vars("time"), START, START + DAY), sea, START, "the model")


def test_a_command_that_takes_too_long_is_ended(sea, program):
    since = time.monotonic()
    with pytest.raises(cycling.ModelError, match=r"timeout=1 s"):
        program("sleeps", timeout=1.0)(sea.drop_vars("time"), START, START + DAY)
    assert time.monotonic() - since < 20


def test_bad_commands_are_refused(sea):
    for call, words in (
        (lambda: cycling.Command("./model {input}"), "give a list"),
        (lambda: cycling.Command(["./model", "{input}"]), "{output}"),
        (lambda: cycling.Command(["./model", "{input}", "{output}"], workers=0), "workers=0"),
        (lambda: cycling.Command(["./model", "{input}", "{output}"], timeout=-1), "timeout=-1"),
        (
            lambda: cycling.Command(["./no-such", "{input}", "{output}"])(sea, START, START + DAY),
            "could not be started",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            call()


# ---- refusals -----------------------------------------------------------------------------------------------------------


def test_bad_input_is_refused(sea, seen, tmp_path):
    folder = tmp_path / "run"
    for call, words in (
        (lambda: go(sea.sla, seen, folder), "DataArray"),
        (lambda: go(sea.drop_vars("time"), seen, folder), "start="),
        (lambda: go(sea.drop_vars("time").expand_dims(time=2), seen, folder), "2 times"),
        (lambda: go(sea, seen.drop_vars("time"), folder), "no time"),
        (lambda: go(sea, seen, folder, window="all"), "window='all'"),
        (lambda: go(sea, seen, folder, keep="none"), "keep='none'"),
        (lambda: go(sea, seen, folder, seed=-1), "seed=-1"),
        (lambda: go(sea, seen, folder, hx=np.zeros(3)), "callable hx"),
        (lambda: go(sea, seen, folder, model="./model"), "cannot be called"),
        (lambda: go(sea, seen, tmp_path / "no" / "such"), "does not exist"),
        (lambda: go(sea, seen, folder, start="2000-01-03"), "lies before"),
        (lambda: cycling.run(ETKF(), sea, decay, seen, times=TIMES[::-1], directory=folder), "increase"),
        (lambda: cycling.run(ETKF(), sea, decay, seen, times=[], directory=folder), "empty"),
        (lambda: cycling.run(ETKF(), sea, decay, seen, times=["soon"], directory=folder), "no date"),
        (lambda: cycling.run(ETKF(), sea, decay, seen, times=[START], directory=folder), "no length"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    assert not folder.exists()


# ---- a basin whose truth is known ---------------------------------------------------------------------------------------


def test_ssh_along_tracks_corrects_the_basin(tmp_path):
    times = np.arange("2000-01-01", "2000-01-16", dtype="M8[D]")
    basin = twin.shallow_water_basin(times=times, members=16, seed=3)
    method = LETKF(localization=GaspariCohn(200.0), inflation=RTPS(0.6))
    found = cycling.run(
        method, basin.ensemble, basin.model, basin.observations, times=times[1:], directory=tmp_path, keep="last"
    )
    free = basin.model(basin.ensemble, times[0], times[-1]).mean("member")
    with xr.open_dataset(tmp_path / str(found.analysis.values[-1])) as ds:
        ours = ds.mean("member").load()
    truth = basin.truth.isel(time=-1)
    for name, share in (("ssh", 0.6), ("u", 0.8), ("v", 0.95)):
        errors = [float(np.sqrt(((d[name] - truth[name]) ** 2).mean())) for d in (ours, free)]
        assert errors[0] < share * errors[1], (name, errors)
    assert (found.outcome == "analysed").all()
    assert int(found.n_used.sum()) == basin.observations.sizes["obs"]
