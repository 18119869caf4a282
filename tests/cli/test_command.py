"""The command itself: quick to start, its reference up to date, what the doctor says, and how it looks on a terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from oceankit.cli import main

ROOT = Path(__file__).parents[2]


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from click.testing import CliRunner; from oceankit.cli import main; "
        "assert CliRunner().invoke(main, ['run', '--help']).exit_code == 0; "
        "print([m for m in ('numpy', 'xarray', 'dask', 'numba', 'matplotlib', 'torch', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_reference_is_up_to_date():
    written = (ROOT / "docs" / "runfile.md").read_text(encoding="utf-8")
    result = CliRunner().invoke(main, ["schema"])
    assert result.stdout == written, "run: oceankit schema > docs/runfile.md"


def test_every_section_of_the_reference_can_be_reached():
    from oceankit.cli.reference import text

    page = text()
    titles = {line[3:].replace(" ", "-").replace(".", "-") for line in page.splitlines() if line.startswith("## ")}
    links = {part.split(")")[0] for part in page.split("](#")[1:]}
    assert links <= titles
    assert titles - links == {"run-file"}


def test_doctor_names_versions_and_what_is_missing(monkeypatch: pytest.MonkeyPatch):
    import importlib.metadata

    real = importlib.metadata.version

    def version(package: str) -> str:
        if package == "cartopy":
            raise importlib.metadata.PackageNotFoundError(package)
        return real(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    lines = {" ".join(line.split()) for line in result.stdout.splitlines()}
    assert "cartopy missing: pip install 'oceankit[plot]'" in lines
    assert f"numpy {real('numpy')}" in lines
    assert "OMP_NUM_THREADS 3" in lines
    for word in (
        "HDF5, netCDF-C",
        "oceankit threads",
        "numba threads",
        "memory",
        "cache folder",
        "writable yes",
        "Slurm",
        "CUDA",
    ):
        assert any(line.startswith(word) for line in lines), word


def test_doctor_reports_a_wrong_setting_and_ends_well(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OCEANKIT_NUM_THREADS", "many")
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    assert "WRONG: OCEANKIT_NUM_THREADS is 'many'" in result.stdout


def test_a_run_file_that_is_not_there():
    result = CliRunner().invoke(main, ["run", "gone.yaml"])
    assert result.exit_code == 2
    assert "gone.yaml" in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo terminal")
def test_on_a_terminal_a_stage_is_shown_while_it_runs(folder: Path):
    import pty

    (folder / "run.yaml").write_text(
        "oceankit: 1\nsteps:\n  - name: one\n    input: {paths: sst.nc, variable: sst}\n    product: a.nc\n"
    )
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "oceankit.cli", "run", str(folder / "run.yaml"), "-o", str(folder / "out")]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=ROOT) as process:
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says so at the end
                break
            if not part:
                break
            parts.append(part)
    os.close(ours)
    out = b"".join(parts).decode()
    assert process.returncode == 0, out
    assert "  product      ..." in out
    assert "\r\x1b[2K  product      a.nc" in out
