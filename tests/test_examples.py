"""The example notebooks: saved with their outputs, free of a machine's paths, and running as they stand."""

import re
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
QUICK = ("01", "03")
LARGEST = 750_000  # bytes; a repository keeps every version

# A path from the root of a machine: behind a quote, a blank or the like, unlike "degC/km" or "https://".
ABSOLUTE = re.compile(r"(?<![\w.:/>)])/(?:home|root|tmp|usr|var|opt|work|mnt|Users|private)/|\b[A-Z]:\\\\?\w|file://")

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return pytest.importorskip("nbformat", reason="needs the group 'notebooks'").read(path, as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def errors(notebook: Any) -> list[str]:
    return [out.ename for cell in code(notebook) for out in cell.outputs if out.output_type == "error"]


def texts(notebook: Any) -> list[str]:
    """Sources and everything that cells printed or returned, pictures aside."""
    found = [cell.source for cell in notebook.cells]
    for out in (out for cell in code(notebook) for out in cell.outputs):
        found.append(out.get("text", ""))
        found += [str(value) for kind, value in out.get("data", {}).items() if not kind.startswith("image/png")]
        found += out.get("traceback", [])
    return found


def test_there_are_notebooks():
    assert NOTEBOOKS


@each
def test_saved_as_executed(path):
    notebook = read(path)
    pytest.importorskip("nbformat").validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert path.stat().st_size < LARGEST
    assert len(notebook.cells) < 13
    # In order, from the first cell on, in a fresh kernel.
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    outputs = [out for cell in code(notebook) for out in cell.outputs]
    assert any("image/png" in out.get("data", {}) for out in outputs)
    assert any(out.output_type == "stream" for out in outputs)
    assert not [out.text for out in outputs if out.get("name") == "stderr"]
    assert errors(notebook) == []


@each
def test_no_absolute_paths(path):
    found = [text for text in texts(read(path)) if ABSOLUTE.search(text)]
    assert found == []


@pytest.mark.parametrize("text", ["'/home/me/x.nc'", "(/root/.cache)", "/tmp/a", r"C:\data", "file:///a"])
def test_paths_are_told(text):
    assert ABSOLUTE.search(text)


@pytest.mark.parametrize("text", ["https://host/home/a", "degC/km", "oceankit/tmp/x.py", "and/or"])
def test_other_slashes_are_none(text):
    assert not ABSOLUTE.search(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=[] if p.stem[:2] in QUICK else pytest.mark.extra, id=p.stem) for p in NOTEBOOKS]
)
def test_runs(path, tmp_path, samples):
    nbclient = pytest.importorskip("nbclient", reason="needs the group 'notebooks'")
    pytest.importorskip("ipykernel", reason="needs the group 'notebooks'")
    for package in ("matplotlib", "cartopy", "cmocean"):
        pytest.importorskip(package, reason="needs oceankit[plot]")
    notebook = read(path)
    # In an empty folder: a notebook needs nothing beside it, and leaves nothing behind.
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert errors(notebook) == []
    assert list(tmp_path.iterdir()) == []
