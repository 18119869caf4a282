"""What oceankit finds on this machine: versions, threads, memory, caches, accelerators, schedulers."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from oceankit._version import __version__

__all__ = ["report"]

_NEEDED = (
    "numpy",
    "xarray",
    "dask",
    "numba",
    "scipy",
    "pandas",
    "netCDF4",
    "zarr",
    "cf-xarray",
    "cftime",
    "click",
    "PyYAML",
)
# Package, and the extra that brings it.
_OPTIONAL = {
    "matplotlib": "plot", "cartopy": "plot", "cmocean": "plot", "basemap-data": "plot", "torch": "forecast",
    "safetensors": "forecast", "utide": "forecast", "distributed": "cluster", "dask-jobqueue": "cluster", "bokeh": "cluster",
    "cryptography": "cluster", "dask-mpi": "mpi", "mpi4py": "mpi", "cfgrib": "grib", "rioxarray": "geotiff",
    "iris-sample-data": "demo",
}  # fmt: skip
_THREADS = ("OCEANKIT_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_SLURM = ("sbatch", "srun", "sinfo", "squeue")


def report() -> str:
    """All of it as text, a heading to each part."""
    parts = {
        "oceankit": _system(),
        "Needed": _needed(),
        "Optional": _optional(),
        "Threads and memory": _threads(),
        "Compiled kernels": _cache(),
        "GPU": _gpu(),
        "Batch systems": _batch(),
    }
    blocks = []
    for heading, rows in parts.items():
        lines = [f"  {name:<22}{value}" for name, value in rows]
        blocks.append("\n".join([heading, *lines]))
    return "\n\n".join(blocks)


def _system() -> Iterator[tuple[str, str]]:
    yield "oceankit", f"{__version__} in {Path(__file__).parents[1]}"
    yield "Python", f"{platform.python_version()} ({sys.executable})"
    yield "platform", platform.platform()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _needed() -> Iterator[tuple[str, str]]:
    for package in _NEEDED:
        yield package, _version(package) or f"MISSING: pip install {package}"
    import netCDF4

    yield "HDF5, netCDF-C", f"{netCDF4.__hdf5libversion__}, {netCDF4.__netcdf4libversion__}"


def _optional() -> Iterator[tuple[str, str]]:
    for package, extra in _OPTIONAL.items():
        yield package, _version(package) or f"missing: pip install 'oceankit[{extra}]'"


def _threads() -> Iterator[tuple[str, str]]:
    import numba

    from oceankit.numerics import threads

    try:
        yield "oceankit threads", str(threads.count())
    except ValueError as error:
        yield "oceankit threads", f"WRONG: {error}"
    yield "numba threads", str(numba.config.NUMBA_NUM_THREADS)
    yield "cores of the machine", str(os.cpu_count())
    for name in _THREADS:
        yield name, os.environ.get(name, "not set")
    yield "memory", _memory()


def _memory() -> str:
    try:
        page, total = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
        text = f"{page * total / 2**30:.1f} GiB"
    except (ValueError, OSError, AttributeError):
        return "unknown on this system"
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = Path(name).read_text().strip()
        except OSError:
            continue
        if limit.isdigit() and int(limit) < page * total:
            return f"{text}, of which this job may use {int(limit) / 2**30:.1f} GiB"
    return text


def _cache() -> Iterator[tuple[str, str]]:
    import numba

    own = os.environ.get("NUMBA_CACHE_DIR") or numba.config.CACHE_DIR
    # Numba keeps machine code beside the source; where that is not writable, in the user's cache folder.
    folder = Path(own) if own else Path(__file__).parents[1] / "numerics" / "__pycache__"
    yield "cache folder", str(folder)
    writable = _is_writable(folder)
    yield "writable", "yes" if writable else "no: the user's cache folder is used; NUMBA_CACHE_DIR names another"


def _is_writable(folder: Path) -> bool:
    place = next((p for p in (folder, *folder.parents) if p.is_dir()), folder)
    try:
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False


def _gpu() -> Iterator[tuple[str, str]]:
    if importlib.util.find_spec("torch") is None:
        yield "CUDA", "not looked for: torch is missing"
        return
    try:
        import torch

        if torch.cuda.is_available():
            for number in range(torch.cuda.device_count()):
                card = torch.cuda.get_device_properties(number)
                yield f"CUDA {number}", f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
        else:
            yield "CUDA", "none that torch can use"
    except Exception as error:  # a broken driver must not stop the report
        yield "CUDA", f"torch could not tell: {' '.join(str(error).split())}"


def _batch() -> Iterator[tuple[str, str]]:
    for name, commands in (("Slurm", _SLURM), ("PBS", ("qsub", "qstat")), ("MPI", ("mpirun", "mpiexec"))):
        there = [c for c in commands if shutil.which(c)]
        yield name, ", ".join(there) or "no commands found"
