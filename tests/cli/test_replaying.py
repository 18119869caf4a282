"""The stage `replay` of run files and the command, on a small sea."""

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from replay.seas import sea

pytest.importorskip("torch", reason="needs the extra 'forecast'")
from oceankit.cli import main
from oceankit.replay import living

RUN = """\
oceankit: 1
centre: A test centre
steps:
  - name: summer
    input: {paths: sst.nc, variable: sst}
    replay: {base: [2001, 2005], days: [2006-07-01, 2006-07-03], leads: 5, maps: 2, confidence: 0.5, save: summer}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sea")
    sea().to_netcdf(place / "sst.nc")
    return place


def run(folder: Path, text: str, *more: str) -> Result:
    (folder / "run.yaml").write_text(text, encoding="utf-8")
    return CliRunner().invoke(main, ["run", str(folder / "run.yaml"), *more])


def test_a_run_file_replays_and_goes_on_where_it_was_cut_off(folder, monkeypatch):
    live, lived = living.live, []

    def until_the_second(day, *rest):
        if len(lived) == 1:
            raise KeyboardInterrupt
        lived.append(day)
        live(day, *rest)

    with monkeypatch.context() as patch:
        patch.setattr("oceankit.replay.replaying.live", until_the_second)
        assert run(folder, RUN).exit_code == 1
    output, unfinished = folder / "output", folder / "output" / ".summer.unfinished"
    assert not (output / "summer").exists()
    first = unfinished / "days" / "2006-07-01" / "forecast.nc"
    written = first.stat().st_mtime_ns
    again = run(folder, RUN)
    assert again.exit_code == 0, again.output
    assert "2006-07-03 done" in again.output
    assert "replay       summer, " in again.output
    moved = output / "summer" / "days" / "2006-07-01"
    assert (moved / "forecast.nc").stat().st_mtime_ns == written
    assert not unfinished.exists()
    assert sorted(p.name for p in (output / "summer" / "days").iterdir()) == [f"2006-07-0{k}" for k in (1, 2, 3)]
    assert (output / "summer" / "report.html").exists()
    assert "A test centre" in (moved / "bulletin.en.txt").read_text()
    assert (moved / "map.png").exists()
    assert not (output / "summer" / "days" / "2006-07-02" / "map.png").exists()
    # Once more, to the same files; nothing of the first stays beside them.
    assert run(folder, RUN).exit_code == 0


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("[2001, 2005]", "[2001, 2006]", "base ends with 2006, but the first day that is lived is 2006-07-01"),
        ("2006-07-03", "2008-07-03", "days wants 2008-07-03, but 'sst' covers 2001-01-01 to 2007-12-31"),
        ("leads: 5", "leads: 0", "yaml:6: .*replay.leads: is 0"),
        ("leads: 5", "place: {en: A sea}", "replay.place.* '?zh'?"),
        ("save: summer", "share: 2", "replay.share: is 2"),
        ("    replay", "    assimilate: {background_error_std: 1}\n    replay", "makes one field"),
    ],
)
def test_mistakes_are_found_before_anything_runs(folder, before, after, words):
    done = run(folder, RUN.replace(before, after), "--check")
    assert done.exit_code != 0
    assert re.search(words, done.output), done.output


def test_the_command_replays_a_series(folder, tmp_path):
    mean = sea().isel(lat=1, lon=1, drop=True)
    del mean.attrs["units"]
    mean.to_netcdf(tmp_path / "series.nc")
    command = [
        "replay", str(tmp_path / "series.nc"), str(tmp_path / "out"), "--base", "2001", "2005", "--days", "2006-07-01",
        "2006-07-02", "--leads", "3", "--confidence", "0.5", "--place", "A harbour",
    ]  # fmt: skip
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 1
    assert "'sst' has no units; say them with --units" in refused.output
    done = CliRunner().invoke(main, [*command, "--units", "degC"])
    assert done.exit_code == 0, done.output
    assert "A harbour" in (tmp_path / "out" / "report.html").read_text()
    assert np.array_equal([p.name for p in sorted((tmp_path / "out" / "days").iterdir())], ["2006-07-01", "2006-07-02"])
