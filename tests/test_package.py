"""The package as a stranger meets it: what is promised is there, and importing it costs little."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import oceankit

ROOT = Path(__file__).parents[1]


def loaded_by(code: str) -> set[str]:
    """Top-level modules that ``code`` loads in a fresh process."""
    listing = "; import sys; print(*{m.partition('.')[0] for m in sys.modules})"
    out = subprocess.run([sys.executable, "-c", code + listing], check=True, capture_output=True, text=True)
    return set(out.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import oceankit",
        "import oceankit; oceankit.Grid, oceankit.regrid, oceankit.OptimalInterpolation, oceankit.LETKF, oceankit.write",
        "import oceankit; oceankit.climatology, oceankit.anomalies",
        "import oceankit; oceankit.products.plot_map, oceankit.cli.main",
    ],
)
def test_heavy_packages_wait_until_they_are_needed(code):
    assert not loaded_by(code) & {"torch", "matplotlib", "cartopy", "distributed", "dask_jobqueue"}


def test_import_adds_little_to_xarray_and_numba():
    """By modules, which no noisy machine disturbs: benchmarks/import_time.py has the seconds."""
    assert len(loaded_by("import xarray, numba, oceankit") - loaded_by("import xarray, numba")) <= 2


def test_the_version_comes_from_one_place():
    assert oceankit.__version__ == version("oceankit")
    assert f"version: {oceankit.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {oceankit.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("name", oceankit.__all__)
def test_each_public_name_is_there_and_says_what_it_is(name):
    thing = getattr(oceankit, name)
    assert name == "__version__" or thing.__doc__


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match=r"no 'regird'.*regrid"):
        oceankit.regird  # noqa: B018


def test_a_missing_package_names_its_extra():
    from oceankit._extras import require

    with pytest.raises(ImportError, match=r"maps needs the package 'no_such_package'.*pip install 'oceankit\[plot\]'"):
        require("no_such_package.inside", extra="plot", purpose="maps")


def test_the_library_is_silent():
    code = (
        "import oceankit as o, xarray as xr, numpy as np; o.regrid(xr.DataArray(np.ones((6, 12)), dims=('lat', 'lon'), "
    )
    code += "coords={'lat': np.arange(-75, 90, 30.), 'lon': np.arange(15, 360, 30.)}), 15.0, 'conservative').sum()"
    out = subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout == out.stderr == ""


def test_links_in_the_documents_lead_somewhere():
    broken = []
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            if not link.startswith("http") and not (page.parent / link).exists():
                broken.append(f"{page.name}: {link}")
    assert not broken
