"""A model outside Python: a command that reads and writes files of an ensemble."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields import write

__all__ = ["Command", "ModelError"]

_TAIL = 20  # lines of stderr


class ModelError(ValueError):
    """A forecast failed, or is not the ensemble that went in; the message says which and shows what the model said."""


class Command:
    """An external command as a model: ``command(ensemble, start, end)`` is the ensemble at ``end``.

    The ensemble is written to a NetCDF file (float32 and float64 exactly, land NaN) and the command's output is read back. Both
    lie in a temporary folder that is removed afterwards.

    Parameters
    ----------
    args
        Program and arguments; no shell reads them. ``{input}`` and ``{output}`` stand for the two files, ``{start}`` and
        ``{end}`` for times such as ``2000-01-01T00:00:00``, ``{member}`` for the number of the member, from 0.
    per_member
        Run it once for each member: its files have no dimension ``member``.
    workers
        Commands at once, where ``per_member``.
    timeout
        Seconds until a command is ended, with the processes that it started; None waits for ever.
    env
        Environment variables added to those of this process.
    folder
        Where the temporary folder is made; None: where the system keeps such.

    Raises
    ------
    ValueError
        If ``args`` lack ``{input}`` or ``{output}``, or a number is not above zero.

    Examples
    --------
    >>> Command(["./model", "{input}", "{output}", "{start}", "{end}"], per_member=True, workers=4)
    Command(['./model', '{input}', '{output}', '{start}', '{end}'], per_member=True)
    """

    def __init__(
        self, args: Sequence[str | os.PathLike[str]], *, per_member: bool = False, workers: int = 1,
        timeout: float | None = None, env: Mapping[str, str] | None = None, folder: str | os.PathLike[str] | None = None,
    ) -> None:  # fmt: skip
        if isinstance(args, str | os.PathLike):
            raise ValueError(f"args={args!r}: give a list, [program, argument, ...]; no shell reads it")
        self.args = [os.fspath(a) for a in args]
        for needed in ("{input}", "{output}"):
            if not any(needed in a for a in self.args):
                raise ValueError(f"args={self.args} do not say where {needed} goes; put it among the arguments")
        if not isinstance(workers, int | np.integer) or workers < 1:
            raise ValueError(f"workers={workers!r}; give a whole number of at least 1")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout={timeout!r}; give seconds above 0, or None")
        self.per_member, self.workers, self.timeout = bool(per_member), int(workers), timeout
        self.env, self.folder = dict(env or {}), folder

    def __repr__(self) -> str:
        return f"Command({self.args!r}, per_member={self.per_member})"

    def __call__(self, ensemble: xr.Dataset, start: Any, end: Any) -> xr.Dataset:
        """Run it.

        Raises
        ------
        ModelError
            If it cannot be started, fails, takes too long, or leaves no file that can be read.
        """
        times = {"start": _iso(start), "end": _iso(end)}
        with tempfile.TemporaryDirectory(prefix="oceankit-", dir=self.folder) as name:
            folder = Path(name)
            if not self.per_member:
                return self._forecast(ensemble, folder, times, None, _Running())
            return self._each(ensemble, folder, times)

    def _each(self, ensemble: xr.Dataset, folder: Path, times: dict[str, str]) -> xr.Dataset:
        """Each member by itself; after a failure no more are begun, and those at work are ended."""
        if "member" not in ensemble.dims:
            raise ModelError(f"{self!r} runs each member by itself, and the ensemble has no dimension 'member'")
        running, number = _Running(), ensemble.sizes["member"]
        with ThreadPoolExecutor(self.workers) as pool:
            # The NetCDF library takes one caller at a time: files are written and read here, only commands run at once.
            inputs = [_written(_one(ensemble, k), folder / f"input_{k}.nc") for k in range(number)]
            futures = [
                pool.submit(self._command, inputs[k], folder / f"output_{k}.nc", times, k, running)
                for k in range(number)
            ]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                failed = next((f for f in futures if f in done and f.exception() is not None), None)
                if failed is not None:
                    failed.result()
            finally:
                for future in futures:
                    future.cancel()
                running.end()
        parts = [self._output(folder / f"output_{k}.nc", k) for k in range(number)]
        moving = [n for n, v in ensemble.data_vars.items() if "member" in v.dims]
        for k, part in enumerate(parts):
            lacking = [n for n in moving if n not in part]
            if lacking:
                raise ModelError(
                    f"{self!r}: the output of member {k} has no {lacking[0]!r}; it has {list(part.data_vars)}"
                )
        try:
            # Places must agree to the bit: a shifted grid would otherwise be joined with holes.
            stacked = xr.concat(
                [p[moving].drop_vars("member", errors="ignore") for p in parts], "member", join="exact",
                coords="minimal", compat="override",
            )  # fmt: skip
        except ValueError as error:
            raise ModelError(f"{self!r}: the outputs of the members do not fit together: {error}") from error
        return stacked.assign_coords(member=ensemble["member"]) if "member" in ensemble.coords else stacked

    def _forecast(
        self, ensemble: xr.Dataset, folder: Path, times: dict[str, str], member: int | None, running: _Running
    ) -> xr.Dataset:
        output = folder / "output.nc"
        self._command(_written(ensemble, folder / "input.nc"), output, times, member, running)
        return self._output(output, member)

    def _command(
        self, source: Path, output: Path, times: dict[str, str], member: int | None, running: _Running
    ) -> None:
        """Run one command to its end."""
        words = {"input": str(source), "output": str(output), "member": str(0 if member is None else member), **times}
        args = [_filled(a, words) for a in self.args]
        who = f"{args}" + ("" if member is None else f" (member {member})")
        with open(output.with_suffix(".err"), "w+b") as said:
            try:
                process = subprocess.Popen(
                    args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, env={**os.environ, **self.env},
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise ModelError(f"the model {who} could not be started: {error}; correct args=") from error
            with running.adding(process):
                try:
                    code = process.wait(self.timeout)
                except subprocess.TimeoutExpired:
                    _end(process)
                    raise ModelError(
                        f"the model {who} was ended after timeout={self.timeout:g} s{_tail(said)}"
                    ) from None
            if code != 0:
                raise ModelError(f"the model {who} failed with exit status {code}{_tail(said)}")
            if not output.exists():
                raise ModelError(f"the model {who} ended well, but wrote no {output.name}{_tail(said)}")

    def _output(self, output: Path, member: int | None) -> xr.Dataset:
        try:
            return xr.load_dataset(output, engine="netcdf4", decode_timedelta=False)
        except (OSError, RuntimeError, ValueError) as error:
            who = "" if member is None else f" of member {member}"
            raise ModelError(f"the output{who} of {self!r} cannot be read: {error}") from error


class _Running:
    """The commands at work, so that they can be ended together."""

    def __init__(self) -> None:
        self._lock, self._processes, self._ended = threading.Lock(), set[subprocess.Popen[bytes]](), False

    def adding(self, process: subprocess.Popen[bytes]) -> _Entry:
        with self._lock:
            self._processes.add(process)
            if self._ended:
                _end(process)
        return _Entry(self, process)

    def remove(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._processes.discard(process)

    def end(self) -> None:
        with self._lock:
            self._ended = True
            for process in self._processes:
                _end(process)


class _Entry:
    """A command while it is at work; whatever interrupts the wait, it does not outlive it."""

    def __init__(self, running: _Running, process: subprocess.Popen[bytes]) -> None:
        self.running, self.process = running, process

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            _end(self.process)
        self.running.remove(self.process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it started: they are a session of their own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _one(ensemble: xr.Dataset, k: int) -> xr.Dataset:
    return ensemble.isel(member=k, drop=True)


def _written(ds: xr.Dataset, path: Path) -> Path:
    write(ds, path)
    return path


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace("{" + word + "}", value)
    return text


def _iso(time: Any) -> str:
    """To the second, or as fine as it is."""
    exact = np.datetime64(time, "ns")
    whole = exact.astype("M8[s]")
    return str(whole if whole == exact else exact)


def _tail(said: Any) -> str:
    said.flush()
    said.seek(0)
    lines = said.read().decode(errors="replace").rstrip().splitlines()[-_TAIL:]
    return "; it said nothing on stderr" if not lines else "; the end of its stderr:\n" + "\n".join(lines)
