"""Run files that are killed, stopped and queued again: what is finished stays, and the data are those of an undisturbed run."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from cluster import slurm as real

from oceankit.cli import main
from oceankit.cluster import ClusterError
from oceankit.cluster.requeue import STOP_BY, OutOfTime, queue_again, stopping_in_time
from oceankit.cluster.scripts import job_script
from oceankit.cluster.sites import site_of

# Each tile but a product's first takes the seconds that the file says, in every process that finds this on its path.
SLOW = """
import pathlib, time
import oceankit.fields.resuming as resuming
save = resuming._save
def slowly(place, *words, **more):
    if any((pathlib.Path(place) / "tiles").iterdir()):
        time.sleep(float((pathlib.Path(__file__).parent / "seconds").read_text()))
    return save(place, *words, **more)
resuming._save = slowly
"""
RUN = """
oceankit: 1
title: A run that is cut off
cluster: {{{cluster}}}
steps:
  - name: first
    input: {{paths: sst.nc, variable: sst, select: {{time: 2001-02}}}}
    product: first.nc
  - name: fine
    input: {{paths: sst.nc, variable: sst}}
    regrid: {{to: {{lon: [118, 128, 0.05], lat: [30, 40, 0.05]}}, method: conservative}}
    product: fine.{suffix}
"""
# Its only observation lies elsewhere.
FAILING = """
  - name: last
    input: {paths: sst.nc, variable: sst, select: {time: 2001-01-01}}
    assimilate: {background_error_std: 1, length_scale: 300, observations: {paths: obs.csv, units: degC}}
    product: last.nc
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small field of a year, and a module that makes tiles slow."""
    days = xr.date_range("2001-01-01", periods=360)
    lat, lon = np.arange(30.25, 40, 0.5), np.arange(118.25, 128, 0.5)
    values = np.random.default_rng(0).random((days.size, lat.size, lon.size)).astype("f4")
    ds = xr.Dataset(
        {"sst": (("time", "lat", "lon"), values, {"units": "degC", "standard_name": "sea_surface_temperature"})},
        coords={
            "time": days,
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
    )
    ds.to_netcdf(tmp_path / "sst.nc", encoding={"sst": {"chunksizes": (30, lat.size, lon.size)}})
    (tmp_path / "obs.csv").write_text("value,error_std,lon,lat\n3,1,60,40\n")
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text(SLOW)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def described(folder: Path, suffix: str = "zarr", **cluster: Any) -> Path:
    path = folder / "run.yaml"
    path.write_text(RUN.format(cluster=", ".join(f"{k}: {v}" for k, v in cluster.items()), suffix=suffix))
    return path


def oceankit(*words: str) -> Any:
    return CliRunner().invoke(main, list(words))


def started(folder: Path, *words: str, slow: float) -> subprocess.Popen[str]:
    (folder / "slow" / "seconds").write_text(str(slow))
    env = os.environ | {"PYTHONPATH": str(folder / "slow")}
    return subprocess.Popen(
        [sys.executable, "-m", "oceankit.cli", *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )  # fmt: skip


def tiles(folder: Path, suffix: str) -> list[Path]:
    place = folder / f".fine.{suffix}.unfinished" / "tiles"
    return list(place.iterdir()) if place.is_dir() else []


def data_of(path: Path) -> dict[str, bytes]:
    """The data of a product, byte for byte."""
    if path.suffix == ".zarr":
        return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("c/**/*") if p.is_file()}
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        return {name: v[...].tobytes() for name, v in file.variables.items()}


LOCAL = {"kind": "local", "workers": 1, "memory": "900MiB"}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["zarr", pytest.param("nc", marks=pytest.mark.extra)])
def test_a_run_that_was_killed_goes_on_where_it_was(folder: Path, suffix: str):
    run = str(described(folder, suffix, **LOCAL))
    undisturbed = oceankit("run", run, "-o", "whole")
    assert undisturbed.exit_code == 0, undisturbed.output
    process = started(folder, "run", run, "-o", "out", slow=60)
    assert real.until(lambda: len(tiles(folder / "out", suffix)) >= 1, 90, hard=False)
    process.kill()
    process.communicate()
    kept = {p.name: p.stat().st_mtime_ns for p in tiles(folder / "out", suffix)}
    first = (folder / "out" / "first.nc").stat().st_mtime_ns
    assert not (folder / "out" / f"fine.{suffix}").exists()
    again = oceankit("resume", "out")
    assert again.exit_code == 0, again.output
    assert "taking up an earlier run" in again.output
    assert "finished by an earlier run" in again.output
    assert (folder / "out" / "first.nc").stat().st_mtime_ns == first
    assert kept
    assert data_of(folder / "whole" / f"fine.{suffix}") == data_of(folder / "out" / f"fine.{suffix}")
    assert not tiles(folder / "out", suffix)
    nothing = oceankit("resume", "out")
    assert nothing.exit_code == 1
    assert "nothing is left to do" in nothing.output


def test_the_same_command_takes_up_what_is_there_and_makes_again_what_has_changed(folder: Path):
    run = described(folder)
    text = run.read_text().replace("cluster: {}\n", "")
    broken = text + FAILING
    run.write_text(broken)
    begun = oceankit("run", str(run), "-o", "out")
    assert begun.exit_code == 1, begun.output
    assert "none of the 1 observations" in begun.output
    first, fine = (folder / "out" / "first.nc").stat(), (folder / "out" / "fine.zarr" / "zarr.json").stat()
    run.write_text(text.replace("conservative", "bilinear"))
    again = oceankit("run", str(run), "-o", "out")
    assert again.exit_code == 0, again.output
    assert again.output.count("finished by an earlier run") == 1
    assert (folder / "out" / "first.nc").stat().st_mtime_ns == first.st_mtime_ns
    assert (folder / "out" / "fine.zarr" / "zarr.json").stat().st_mtime_ns != fine.st_mtime_ns
    # A run that was complete is run anew.
    anew = oceankit("run", str(run), "-o", "out")
    assert "finished by an earlier run" not in anew.output
    assert (folder / "out" / "first.nc").stat().st_mtime_ns != first.st_mtime_ns


def test_other_inputs_are_not_taken_for_the_same(folder: Path):
    run = described(folder)
    run.write_text(run.read_text().replace("cluster: {}\n", "") + FAILING)
    assert oceankit("run", str(run), "-o", "out").exit_code == 1
    os.utime(folder / "sst.nc", (1, 1))
    assert "finished by an earlier run" not in oceankit("run", str(run), "-o", "out").output
    assert "finished by an earlier run" in oceankit("run", str(run), "-o", "out").output
    assert "finished by an earlier run" not in oceankit("run", str(run), "-o", "out", "--fresh").output


@pytest.mark.slow
def test_a_run_that_is_asked_to_end_says_how_to_go_on(folder: Path):
    run = str(described(folder, **LOCAL))
    process = started(folder, "run", run, "-o", "out", slow=60)
    assert real.until(lambda: len(tiles(folder / "out", "zarr")) >= 1, 90, hard=False)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + 15
    assert "go on with: oceankit resume out" in said
    assert not (folder / "out" / "fine.zarr").exists()


def test_a_run_that_does_not_fit_is_refused_before_anything_is_started(folder: Path):
    run = str(described(folder, kind="local", workers=1, memory="300MiB"))
    refused = oceankit("run", run, "-o", "out")
    assert refused.exit_code == 1
    assert "does not fit" in refused.output
    assert "What would do: memory=" in refused.output
    planned = oceankit("plan", run, "--memory", "2GiB")
    assert planned.exit_code == 0, planned.output
    assert "fine, regrid:" in planned.output


@pytest.mark.slow
def test_what_a_run_took_is_told_on_a_page(folder: Path):
    run = str(described(folder, **LOCAL))
    assert oceankit("run", run, "-o", "out").exit_code == 0
    page = (folder / "out" / "run-report.html").read_text()
    for words in ("A run that is cut off", "fine.zarr", "peak memory", "0 workers lost", "0 of them made again"):
        assert words in page
    assert "bokeh" in (folder / "out" / "dask-report.html").read_text().lower()


# ---- batch systems ---------------------------------------------------------------------------------------------------

SITE = {"workers": 1, "memory": "1GiB", "interface": "lo"}


@pytest.mark.extra
def test_before_the_wall_time_is_over_a_run_stops_and_is_queued_again(slurm: Path, folder: Path):
    (folder / "slow" / "seconds").write_text("60")
    setup = f'"export PYTHONPATH={folder / "slow"}"'
    run = str(described(folder, kind="slurm-allocation", walltime="00:03:00", margin=90, setup=setup, **SITE))
    submitted = oceankit("submit", run, "-o", "out")
    assert submitted.exit_code == 0, submitted.output
    log = folder / "out" / ".oceankit" / "logs"
    job = submitted.output.split()[1].rstrip(":")

    def said() -> str:
        return "".join(p.read_text() for p in log.glob("run-*.log"))

    real.until(lambda: "is queued again" in said(), 150)
    (folder / "slow" / "seconds").write_text("0")
    kept = {p.name: p.stat().st_mtime_ns for p in tiles(folder / "out", "zarr")}
    assert kept
    assert not (folder / "out" / "fine.zarr").exists()
    # Slurm lets requeued jobs wait for two minutes.
    real.until(lambda: "PENDING" in real.command("squeue", "-h", "-j", job, "-o", "%T"), 30)
    real.command("scontrol", "update", f"job={job}", "StartTime=now")
    real.until(lambda: (folder / "out" / "run-report.html").exists(), 110)
    assert "taking up an earlier run" in said()
    whole = str(described(folder, kind="local", **SITE))
    assert oceankit("run", whole, "-o", "whole").exit_code == 0
    assert data_of(folder / "whole" / "fine.zarr") == data_of(folder / "out" / "fine.zarr")


@pytest.mark.slow
def test_a_submitted_run_has_its_workers_in_jobs_of_their_own(slurm: Path, folder: Path):
    run = str(described(folder, kind="slurm", walltime="00:05:00", client_memory="1200MiB", tls="true", **SITE))
    submitted = oceankit("submit", run, "-o", "out")
    assert submitted.exit_code == 0, submitted.output
    script = folder / "out" / "submit-slurm.sh"
    assert stat.S_IMODE(script.stat().st_mode) == 0o700
    real.until(lambda: (folder / "out" / "run-report.html").exists(), 100)
    page = (folder / "out" / "run-report.html").read_text()
    assert "slurm, 1 workers" in page
    # The page is written before the cluster is left, and the certificates with it.
    job = submitted.output.split()[1].rstrip(":")
    real.until(lambda: real.state(job)["JobState"] == "COMPLETED", 60)
    left = [p for p in (folder / "out").rglob("*") if p.is_file() and b"PRIVATE KEY" in p.read_bytes()]
    assert left == []


def test_a_job_that_the_batch_system_refuses_is_told(slurm: Path, folder: Path):
    run = str(described(folder, kind="slurm", walltime="00:05:00", queue="nowhere", **SITE))
    refused = oceankit("submit", run, "-o", "out")
    assert refused.exit_code == 1
    assert "invalid partition" in refused.output


def test_scripts_can_be_read_and_edited(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """With stand-ins for the commands of both systems, which note what they are given."""
    commands = folder / "bin"
    commands.mkdir()
    for name in ("sbatch", "qsub"):
        path = commands / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {folder}/called\necho "Submitted batch job 4711"\n')
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    for kind, header in (("slurm", "#SBATCH --mem=4096M"), ("slurm-allocation", "#SBATCH --ntasks=3"), ("pbs", "#PBS -l select=1:ncpus=2:mem=4096mb")):  # fmt: skip  # noqa: E501
        run = str(described(folder, kind=kind, walltime="01:00:00", queue="q1", account="a1", setup='"module load x"', **SITE))  # fmt: skip  # noqa: E501
        dry = oceankit("submit", run, "-o", f"out-{kind}", "--dry-run")
        assert dry.exit_code == 0, dry.output
        assert not (folder / f"out-{kind}").exists()
        assert header in dry.output
        assert "module load x" in dry.output
        assert "q1" in dry.output
        done = oceankit("submit", run, "-o", f"out-{kind}")
        assert done.exit_code == 0, done.output
        script = folder / f"out-{kind}" / f"submit-{kind}.sh"
        assert script.read_text() == dry.output
        assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
        assert (folder / "called").read_text().splitlines()[-1] == f"{'qsub' if kind == 'pbs' else 'sbatch'} {script}"
        script.write_text(script.read_text() + "# mine\n")
        refused = oceankit("submit", run, "-o", f"out-{kind}")
        assert refused.exit_code == 1
        assert "was edited" in refused.output
        assert oceankit("resume", f"out-{kind}").exit_code == 0
        assert script.read_text().endswith("# mine\n")
        assert oceankit("submit", run, "-o", f"out-{kind}", "--force").exit_code == 0
        assert "# mine" not in script.read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "say where to"),
        ({"kind": "local"}, "is not submitted"),
        ({"kind": "slurm", "workers": 2, "memory": "1GiB"}, "needs walltime"),
        ({"kind": "slurm-allocation", "memory": "1GiB", "walltime": "01:00:00"}, "needs workers"),
        ({"kind": "slurm", "workers": 2, "memory": "1GiB", "walltime": "00:01:00"}, "margin of 120 s"),
        ({"kind": "pbs", "workers": 2, "memory": "much", "walltime": "01:00:00"}, "memory is 'much'"),
    ],
)
def test_what_a_job_lacks_is_told(folder: Path, options: dict[str, Any], words: str):
    run = str(described(folder, **options))
    refused = oceankit("submit", run, "--dry-run")
    assert refused.exit_code == 1
    assert words in refused.output


def test_a_script_names_the_time_to_stop(tmp_path: Path):
    site = site_of("slurm-allocation", workers=2, memory="2GiB", walltime="1-00:10:00", threads=2)
    text = job_script(site, ["run"], name="a name", script=tmp_path / "s.sh", log=tmp_path / "log", folder=tmp_path)
    assert f'{STOP_BY}="$(( $(date +%s) + {86400 + 600 - 120} ))"' in text
    assert "--job-name=a-name" in text
    assert "--mem-per-cpu=1024M" in text


def test_it_is_stopped_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(STOP_BY, str(int(time.time()) + 1))
    with pytest.raises(OutOfTime), stopping_in_time():
        time.sleep(20)
    monkeypatch.setenv(STOP_BY, "soon")
    with pytest.raises(ClusterError, match="OCEANKIT_STOP_BY is 'soon'"), stopping_in_time():
        pass


def test_without_progress_a_run_is_not_queued_again(folder: Path, monkeypatch: pytest.MonkeyPatch):
    run = described(folder)
    run.write_text(run.read_text().replace("cluster: {}\n", ""))
    monkeypatch.setattr("oceankit.fields.resuming._save", lambda *_, **__: time.sleep(20))
    monkeypatch.setenv(STOP_BY, str(int(time.time()) - 5))
    stopped = oceankit("run", str(run), "-o", "out")
    assert stopped.exit_code == 1
    assert "nothing was finished within the wall time" in stopped.output


def test_where_nothing_can_be_queued_it_is_told():
    with pytest.raises(ClusterError, match="this is no job of a batch system.*oceankit resume"):
        queue_again(None, {})


def test_the_ledger_of_a_run_can_be_read(folder: Path):
    run = described(folder)
    run.write_text(run.read_text().replace("cluster: {}\n", "") + FAILING)
    assert oceankit("run", str(run), "-o", "out").exit_code == 1
    found = json.loads((folder / "out" / ".oceankit" / "ledger.json").read_text())
    assert found["run_file"] == str(run)
    assert found["steps"]["first"]["complete"]
    assert set(found["steps"]["fine"]["files"]) == {"fine.zarr"}
