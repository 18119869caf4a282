"""Where the work runs: a laptop, Slurm, PBS or MPI, through one call; how it is cut to fit; what became of it.

The rest of the library never asks where it runs: it works on the Dask scheduler in force, and :func:`launch` puts one in
force. :func:`plan` says beforehand whether a run fits the memory of the workers and in which chunks.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from oceankit.cluster.sites import ClusterError, Site

# Dask's distributed scheduler and what goes with it take a second to import: only where they are used.
_HOMES = {
    "KINDS": "oceankit.cluster.sites",
    "launch": "oceankit.cluster.launching",
    "plan": "oceankit.cluster.planning",
    "Plan": "oceankit.cluster.planning",
    "PlanError": "oceankit.cluster.planning",
    "watch": "oceankit.cluster.watching",
    "job_script": "oceankit.cluster.scripts",
}

__all__ = ["ClusterError", "Site", *_HOMES]

if TYPE_CHECKING:
    from oceankit.cluster.launching import launch as launch
    from oceankit.cluster.planning import Plan as Plan
    from oceankit.cluster.planning import PlanError as PlanError
    from oceankit.cluster.planning import plan as plan
    from oceankit.cluster.scripts import job_script as job_script
    from oceankit.cluster.sites import KINDS as KINDS
    from oceankit.cluster.watching import watch as watch


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"oceankit.cluster has no {name!r}; it has {', '.join(__all__)}")
