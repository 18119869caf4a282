"""What a run took: memory, bytes moved and spilled by each worker, workers that were lost, tasks that were made again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client
from distributed.diagnostics.plugin import SchedulerPlugin, WorkerPlugin
from tornado.ioloop import PeriodicCallback

__all__ = ["Deserted", "Watched", "watch"]

_NAME = "oceankit-watch"
_PATIENCE = 60.0  # seconds that a scheduler without its client waits for another
_RECUT = ("background-comms", "process", "bytes")
_EVERY = 500  # milliseconds between two looks at the workers


class Watched:
    """What has been seen; filled when the block of :func:`watch` ends, or by `look`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.workers: list[dict[str, Any]] = []
        """Of each worker: name, host, threads, limit, peak (bytes; the highest that the system has seen), received and spilled
        (bytes), tasks, lost (whether it went before the end)."""
        self.tasks = 0
        """Tasks that were finished, each once."""
        self.repeated = 0
        """Tasks that were started again, after a worker was lost or they failed."""
        self.lost = 0

    def look(self) -> "Watched":
        """Ask the scheduler for what it has seen until now."""
        for name, value in self._client.run_on_scheduler(_summary).items():
            setattr(self, name, value)
        return self


@contextmanager
def watch(client: Client) -> Iterator[Watched]:
    """Watch a cluster while the block runs.

    Examples
    --------
    >>> import dask.array
    >>> from oceankit.cluster import launch
    >>> with launch("local", workers=1) as client, watch(client) as seen:
    ...     _ = dask.array.ones(10, chunks=5).sum().compute()
    >>> len(seen.workers), seen.repeated, seen.lost
    (1, 0, 0)
    """
    seen = Watched(client)
    client.register_plugin(_Metrics(), name=_NAME)
    client.register_plugin(_Observer(), name=_NAME)
    try:
        yield seen
    finally:
        # A run that broke off still tells what it took, unless the scheduler itself is gone.
        if client.status == "running":
            seen.look()
            client.unregister_scheduler_plugin(_NAME)


class _Metrics(WorkerPlugin):
    """Adds to what a worker tells the scheduler twice a second."""

    name = _NAME

    def setup(self, worker: Any) -> None:
        worker.metrics["oceankit_peak"] = _peak
        worker.metrics["oceankit_received"] = _received


def _peak(_worker: Any) -> int:
    """The most memory that this process has had. (What getrusage tells is its parent's where that had more before it forked.)"""
    with open("/proc/self/status", encoding="ascii") as file:
        return next((int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM")), 0)


def _received(worker: Any) -> int:
    """Bytes of results that were fetched from other workers, and of fields that were cut anew between them."""
    known = worker.__dict__.setdefault("_oceankit_received", {"fetched": 0, "seen": None})
    # The log forgets its oldest entries: only those after the last one seen are new.
    entries = list(worker.transfer_incoming_log)
    news = entries[entries.index(known["seen"]) + 1 :] if known["seen"] in entries else entries
    known["fetched"] += sum(entry["total"] for entry in news)
    known["seen"] = entries[-1] if entries else None
    recut = sum(n for key, n in worker.digests_total.items() if key[0] == "p2p" and key[-3:] == _RECUT)
    return int(known["fetched"] + recut)


class _Observer(SchedulerPlugin):
    """Lives in the scheduler and remembers what workers said before they went."""

    name = _NAME

    def __init__(self) -> None:
        self.workers: dict[str, dict[str, Any]] = {}
        self.finished: set[Any] = set()
        self.repeated = 0

    async def start(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.look = PeriodicCallback(self.notice, _EVERY)
        self.look.start()
        self.notice()

    def notice(self) -> None:
        for address, worker in self.scheduler.workers.items():
            told = worker.metrics or {}
            known = self.workers.setdefault(
                address, {"name": str(worker.name), "host": worker.host, "threads": worker.nthreads, "limit": worker.memory_limit,
                          "peak": 0, "received": 0, "spilled": 0, "tasks": 0, "lost": False},
            )  # fmt: skip
            known["peak"] = max(known["peak"], told.get("oceankit_peak", 0), told.get("memory", 0))
            known["received"] = max(known["received"], told.get("oceankit_received", 0))
            known["spilled"] = max(known["spilled"], (told.get("spilled_bytes") or {}).get("disk", 0))

    def transition(
        self, key: Any, start: str, finish: str, *, worker: str = "", stimulus_id: str = "", **_more: Any
    ) -> None:
        if start == "processing" and finish == "memory":
            self.finished.add(key)
            if worker in self.workers:
                self.workers[worker]["tasks"] += 1
        elif start in ("processing", "memory") and finish == "released" and "worker" in stimulus_id:
            # It was on a worker that is gone.
            self.repeated += 1

    def add_worker(self, scheduler: Any, worker: str, **_more: Any) -> None:  # noqa: ARG002
        # It may be gone before the next look.
        self.notice()

    def remove_worker(self, scheduler: Any, worker: str, **_more: Any) -> None:  # noqa: ARG002
        if worker in self.workers:
            self.workers[worker]["lost"] = True

    async def close(self) -> None:
        self.look.stop()


def _summary(dask_scheduler: Any) -> dict[str, Any]:
    seen = dask_scheduler.plugins[_NAME]
    seen.notice()
    workers = list(seen.workers.values())
    return {
        "workers": workers, "tasks": len(seen.finished), "repeated": seen.repeated, "lost": sum(w["lost"] for w in workers),
    }  # fmt: skip


class Deserted(SchedulerPlugin):
    """Ends a scheduler whose client was killed, and with it the job, which would wait for nobody until its wall time."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def remove_client(self, scheduler: Any, client: str) -> None:  # noqa: ARG002
        scheduler.loop.call_later(_PATIENCE, self.look)

    async def look(self) -> None:
        if not [name for name in self.scheduler.clients if name != "fire-and-forget"]:
            await self.scheduler.close(reason="the client is gone")
