"""Certificates for one run: scheduler, client and workers prove to each other that they belong together."""

import json
import os
import time
from pathlib import Path
from typing import Any

import dask
from distributed.security import Security

from oceankit.cluster.sites import ClusterError

__all__ = ["adopt", "fresh", "handed_over", "hand_over", "in_files"]

_PATIENCE = 120.0  # seconds that a task waits for the certificates of the first one


def fresh() -> Security:
    """Credentials that only this run has; they are never written but for workers to read.

    Raises
    ------
    ClusterError
        If the package that makes them is missing.
    """
    try:
        return Security.temporary()
    except ImportError as error:
        raise ClusterError(f"tls=True needs a package that is missing ({error}); pip install cryptography") from error


def in_files(security: Security, folder: Path) -> Security:
    """The same credentials by the names of files, which is how the jobs of workers get them."""
    named: dict[str, str] = {}
    for role in ("client", "scheduler", "worker"):
        for part, text in security.get_tls_config_for_role(role).items():
            if part in ("ca_file", "key", "cert") and text is not None:
                name = "tls_ca_file" if part == "ca_file" else f"tls_{role}_{part}"
                path = folder / f"{name}.pem"
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(handle, "w") as file:
                    file.write(text)
                named[name] = str(path)
    return Security(require_encryption=True, **named)


def hand_over(security: Security, path: Path) -> None:
    """Write credentials for other tasks of this user's job; the folder is private, and so is the file."""
    part = path.with_suffix(".part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump({role: security.get_tls_config_for_role(role) for role in ("client", "scheduler", "worker")}, file)
    os.replace(part, path)


def handed_over(path: Path) -> dict[str, Any]:
    """What another task has written, as soon as it is there.

    Raises
    ------
    ClusterError
        If it does not come.
    """
    end = time.monotonic() + _PATIENCE
    while not path.exists():
        if time.monotonic() > end:
            raise ClusterError(
                f"no certificates came from the first task within {_PATIENCE:.0f} s at {str(path)!r}; is 'shared' a folder "
                "that all nodes see?"
            )
        time.sleep(0.1)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def adopt(roles: dict[str, Any]) -> None:
    """Let whatever Dask starts in this process from now on use these credentials, and nothing without."""
    settings: dict[str, Any] = {"ca-file": roles["client"]["ca_file"]}
    for role, parts in roles.items():
        settings |= {f"{role}.key": parts["key"], f"{role}.cert": parts["cert"]}
    dask.config.set({f"distributed.comm.tls.{name}": value for name, value in settings.items()})
    dask.config.set({"distributed.comm.require-encryption": True})
