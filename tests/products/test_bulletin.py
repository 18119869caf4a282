"""One page, whole or not at all, that says nothing but what it was given."""

import base64
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
import xarray as xr

from oceankit import __version__
from oceankit.products import bulletin, bulletin_text

TEXTS = {"title": "Marine heatwave: Tasman Sea", "headline": "The sea is 2.4 °C above normal.", "issued": "1 May 2025"}


@pytest.fixture
def figure():
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(7, 4), dpi=100)
    ax.plot([0, 1], [0, 1])
    return figure


def events(n: int) -> xr.Dataset:
    start = np.datetime64("2015-01-01", "ns") + np.arange(n) * np.timedelta64(30, "D")
    strength = np.linspace(0.5, 3.0, n)[::-1]
    return xr.Dataset(
        {"start": ("event", start), "end": ("event", start + np.timedelta64(6, "D")),
         "duration": ("event", np.full(n, 7), {"units": "1", "long_name": "duration of the event in time steps"}),
         "intensity_max": ("event", strength, {"units": "degree_C"})},
        coords={"lon": ("event", np.full(n, -120.75), {"units": "degrees_east"}),
                "lat": ("event", np.full(n, 4.4), {"units": "degrees_north"})},
    )  # fmt: skip


def test_page_holds_everything_and_needs_nothing(tmp_path, figure):
    path = bulletin(
        tmp_path / "b.html", **TEXTS, figures=[(figure, "A line.")], facts={"Mean": "18.3 °C", "Cells": 12},
        events=events(3), method="By hand.", sources=["OISST", "NEMO"], stamp="SYNTHETIC OBSERVATIONS", centre="NMEFC",
        valid="May 2025", inputs=["a.nc sha256 12ab"],
    )  # fmt: skip
    page = path.read_text(encoding="utf-8")
    for text in ("Marine heatwave: Tasman Sea", "A line.", "18.3", "12", "By hand.", "OISST; NEMO", "NMEFC",
                 "1 May 2025", "Valid May 2025", "a.nc sha256 12ab", f"oceankit {__version__}",
                 "1 January 2015", "4.4°N 120.75°W",
                 "Duration (steps)", "Max. intensity (°C)"):  # fmt: skip
        assert text in page.replace("\u00a0", " "), text
    assert re.search(r'class="stamp"[^>]*>SYNTHETIC OBSERVATIONS<', page)
    (image,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert base64.b64decode(image).startswith(b"\x89PNG")
    assert not re.search(r"https?:|<script|<link|@import|url\(", page)
    assert path.stat().st_mode & 0o044, "others may read a bulletin"


def test_everything_given_is_escaped(tmp_path, figure):
    evil = '<script>alert("x")</script> & "quoted" \'too\''
    path = bulletin(
        tmp_path / "b.html", title=evil, headline=evil, figures=[(figure, evil)], facts={evil: evil}, method=evil,
        sources=[evil], stamp=evil, centre=evil, issued=evil, valid=evil, inputs=[evil],
    )  # fmt: skip
    page = path.read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 11
    assert 'alt="&lt;script&gt;alert(&quot;x&quot;)' in page


def test_written_whole_or_not_at_all(tmp_path, figure, monkeypatch):
    path = tmp_path / "b.html"
    bulletin(path, **TEXTS)
    before = path.read_bytes()

    def fails(*args, **kwargs):
        raise OSError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("os.replace", fails)
        with pytest.raises(OSError, match="disk is full"):
            bulletin(path, **{**TEXTS, "headline": "New."})
    with monkeypatch.context() as broken:
        broken.setattr(figure, "savefig", fails)
        with pytest.raises(OSError, match="disk is full"):
            bulletin(path, **{**TEXTS, "headline": "New."}, figures=[(figure, "")])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["b.html"]
    bulletin(path, **{**TEXTS, "headline": "New."})
    assert "New." in path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["b.html"]


def test_strongest_events_are_listed_and_the_others_counted(tmp_path):
    text = bulletin_text(**TEXTS, events=events(20))
    assert text.count("4.4°N") == 8
    assert "The 8 strongest of 20 events; 12 more are not listed." in text
    listed = re.findall(r"^(\d+ \w+ 201\d)", text, re.MULTILINE)
    assert listed[0] == "1 January 2015", "in order of start"
    assert "3.00" in text
    assert "0.50" not in text
    assert "events;" not in bulletin_text(**TEXTS, events=events(8))
    assert "Start" not in bulletin_text(**TEXTS, events=events(0))


def test_text_says_the_same_as_the_page(tmp_path):
    facts = {"Mean": "18.3", "海温": "20"}
    options = {"facts": facts, "sources": ["OISST"], "stamp": "SYNTHETIC", "method": "By hand. " * 30}
    text = bulletin_text(**TEXTS, **options, width=60)
    assert "*** SYNTHETIC ***" in text
    assert max(len(line) for line in text.splitlines()) <= 60
    assert "Mean  18.3" in text
    assert "海温  20" in text, "a Chinese character takes two columns"


def test_time_of_issue_is_utc():
    east = datetime(2025, 5, 1, 8, 30, tzinfo=timezone(timedelta(hours=8)))
    assert "Issued 1 May 2025 00:30 UTC" in bulletin_text(**{**TEXTS, "issued": east})
    assert "Issued 1 May 2025 00:30 UTC" in bulletin_text(**{**TEXTS, "issued": np.datetime64("2025-05-01T00:30")})
    assert str(datetime.now(UTC).year) in bulletin_text(title="a", headline="b")


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="headline=' ' is empty"):
        bulletin(tmp_path / "b.html", title="a", headline=" ")
    with pytest.raises(ValueError, match="give a list"):
        bulletin(tmp_path / "b.html", **TEXTS, sources="OISST")
    with pytest.raises(ValueError, match=r"'figure.pdf' is no PNG"):
        bulletin(tmp_path / "b.html", **TEXTS, figures=[("figure.pdf", "")])
    (tmp_path.parent / "false.png").write_text("no image")
    with pytest.raises(ValueError, match="called PNG but is none"):
        bulletin(tmp_path / "b.html", **TEXTS, figures=[(tmp_path.parent / "false.png", "")])
    with pytest.raises(FileNotFoundError, match="absent.png"):
        bulletin(tmp_path / "b.html", **TEXTS, figures=[(tmp_path / "absent.png", "")])
    with pytest.raises(FileNotFoundError):
        bulletin(tmp_path / "absent" / "b.html", **TEXTS)
    with pytest.raises(ValueError, match="events lack end"):
        bulletin(tmp_path / "b.html", **TEXTS, events=events(2).drop_vars("end"))
    with pytest.raises(ValueError, match=r"does not fit one A4 page.*facts 1\d\d mm.*shorten"):
        bulletin(tmp_path / "b.html", **TEXTS, facts={f"Number {k}": k for k in range(60)}, events=events(9))
    assert not list(tmp_path.iterdir())


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to print the page")
@pytest.mark.parametrize("fullness", ["little", "much", "all the texts that are accepted"])
def test_prints_on_one_page_with_nothing_cut_off(tmp_path, figure, fullness):
    options: dict = {"figures": [(figure, "A caption.")]}
    if fullness != "little":
        options |= {
            "events": events(20),
            "stamp": "SYNTHETIC OBSERVATIONS",
            "facts": {f"Fact {k}": k for k in range(8)},
            "figures": [(figure, "One."), (figure, "Two.")],
            "sources": ["OISST", "NEMO"],
            "method": "m " * 80,
        }
    path = tmp_path / "b.html"
    if fullness.startswith("all"):
        words = 4
        while True:
            try:
                bulletin(path, **TEXTS, **{**options, "method": "Method and madness. " * words})
            except ValueError:
                break
            words += 4
        assert words > 8
        options["method"] = "Method and madness. " * (words - 4)
    bulletin(path, **TEXTS, **options)
    # The page hides what overflows: without that, what does not fit would make a second page.
    path.write_text(path.read_text("utf-8").replace("overflow: hidden;", ""), "utf-8")
    pdf = tmp_path / "b.pdf"
    subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--no-pdf-header-footer", f"--print-to-pdf={pdf}", path.as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())) == 1
