"""What all kinds of workers have in common: settings of Dask, credentials, one address, a folder that all of them see."""

import json
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dask

from oceankit.cluster.sites import Site, private

__all__ = ["address", "credentials_of", "interrupts_kept", "settings", "shared_folder", "told_to_workers"]

_ALIVE = ["distributed.http.health"]
"""Whether they are alive is all that schedulers and workers tell by HTTP where no dashboard is asked for."""

_PRELOAD = "oceankit.cluster.preload"


def settings(site: Site) -> dict[str, Any]:
    """Settings of Dask while the cluster is there; those of its workers are in it."""
    scheduler = {} if site.dashboard else {"distributed.scheduler.http.routes": _ALIVE}
    return scheduler | {f"distributed.{name}": value for name, value in _of_workers(site).items()}


def told_to_workers(site: Site) -> list[str]:
    """Shell lines for jobs, which do not know the settings of this process."""
    told = {name.upper().replace(".", "__"): json.dumps(value) for name, value in _of_workers(site).items()}
    return [f"export DASK_DISTRIBUTED__{name}={shlex.quote(value)}" for name, value in told.items()]


def _of_workers(site: Site) -> dict[str, Any]:
    loaded = dask.config.get("distributed.worker.preload", [])
    found = {"worker.preload": [*loaded, *({_PRELOAD} - set(loaded))]}
    return found if site.dashboard else found | {"worker.http.routes": _ALIVE}


def credentials_of(site: Site) -> Any:
    if not site.tls:
        return None
    from oceankit.cluster import credentials

    return credentials.fresh()


def address(site: Site) -> str:
    """The one address of this machine to listen on."""
    from distributed.utils import get_ip, get_ip_interface

    return get_ip_interface(site.interface) if site.interface else get_ip()


def shared_folder(site: Site) -> Path:
    return private(site.shared or Path.cwd())


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """dask_jobqueue replaces what Ctrl-C does when it is imported; here it goes on interrupting."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        with suppress(ValueError):  # only the main thread may, and only there it was replaced
            signal.signal(signal.SIGINT, before)
