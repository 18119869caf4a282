"""Weak and strong scaling on workers of this machine, and what a chunk costs besides its kernel.

Run: python benchmarks/scaling.py [--workers 1 2 4] [--kernels control regridding letkf] [--quick] [--model]

Fields are made in the workers, results are sums: no disk, and hardly anything moves. A chunk is work of a quarter of a second;
plans choose larger ones. Every worker is warmed up before. Kernels and numbers of workers take turns, so that what else the
machine does falls on all of them; the median of the repeats is printed, with the lowest and the highest. Strong: T(1) / (n
T(n)) of the same chunks. Weak: T(1) / T(n) of n times the chunks. Seconds are those of the whole call, from the field to the
number. The control needs nothing but a core: what it falls short of 1 is the machine's and Dask's, and efficiency "of the
control" is what is the kernel's own. Where other work uses the machine, wall times say little; "by CPU" is the same efficiency
from CPU seconds, of the busiest worker and of the process of client and scheduler, as if each had a core and nothing
overlapped. CPU ratios are of all workers together, over that of one: above 1 a kernel waits for memory.
``--model`` adds what limits a run of up to a thousand workers, computed from these costs (see scaling_model.md).
"""

import argparse
import contextlib
import os
import statistics
import time
from collections.abc import Iterator

import _scaling_costs as costs
import _scaling_model as model
import _scaling_work as work
from distributed import Client

from oceankit.cluster import launch

SPARE = 2
"""Chunks that a worker has at least in the strong runs."""


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def powers() -> list[int]:
    """1, 2, 4 ... up to the cores, and 2 in any case."""
    return [1, 2, *(2**k for k in range(2, 11) if 2**k <= cores())]


@contextlib.contextmanager
def clusters(numbers: list[int]) -> Iterator[tuple[dict[int, Client], float]]:
    """One of each size, side by side, and the seconds that the largest took to start."""
    with contextlib.ExitStack() as stack:
        found, seconds = {}, 0.0
        for n in sorted(numbers):
            begin = time.perf_counter()
            found[n] = stack.enter_context(launch("local", workers=n))
            found[n].wait_for_workers(n)
            seconds = time.perf_counter() - begin
        yield found, seconds


def warmed(clients: dict[int, Client], names: list[str]) -> float:
    """Every kernel once in every worker; the longest first call of a kernel in a worker of the largest cluster."""
    first = 0.0
    for client in clients.values():
        workers, first = list(client.nthreads()), 0.0
        for name in names:
            jobs = [client.submit(work.warm, name, workers=[w], pure=False) for w in workers]
            first = max(first, *(job.result() for job in jobs))
        with client.as_current():
            for name in names:
                work.total(name, SPARE * len(workers))
    return first


# ---- scaling ----------------------------------------------------------------------------------------------------------


class Runs:
    """Of one kernel: what each repeat took."""

    def __init__(self) -> None:
        self.strong: dict[int, list[costs.Cost]] = {}
        self.weak: dict[int, list[costs.Cost]] = {}
        self.numbers: set[float] = set()

    def efficiencies(self, n: int, weak: bool) -> list[float]:
        """Of each repeat: those of a turn ran after each other. (A chunk's seconds: weak runs have n times the chunks.)"""
        several = (self.weak if weak else self.strong)[n]
        return [a.wall / (n * b.wall) for a, b in zip(self.strong[1], several, strict=True)]

    def by_cpu(self, n: int, weak: bool) -> float:
        one, several = costs.median(self.strong[1]), costs.median((self.weak if weak else self.strong)[n])
        return (one.workers + one.scheduler) / (n * (several.busiest + several.scheduler))

    def serial(self, chunks: int) -> tuple[float, float]:
        """CPU seconds of client and scheduler: of a call, and of each of its chunks (weak runs have more of them).

        Where not every repeat tells them apart, all of it is of the chunks, which is too much for runs of more of them.
        """
        n = max(self.weak, default=1)
        few = costs.median(self.strong[n]).scheduler
        slopes = [
            (n * b.scheduler - a.scheduler) / (n - 1)
            for a, b in zip(self.strong[n], self.weak.get(n, []), strict=False)
        ]
        if not slopes or not 0.0 < min(slopes) <= max(slopes) < few:
            return 0.0, few
        each = statistics.median(slopes)
        return (few - each) * chunks, each


def measured(clients: dict[int, Client], names: list[str], chunks: int, repeat: int, resting: float) -> dict[str, Runs]:
    found = {name: Runs() for name in names}
    for _ in range(repeat):
        for name in names:
            runs = found[name]
            for weak in (False, True):
                for n, client in clients.items():
                    if weak and n == 1:
                        continue
                    number = n * chunks if weak else chunks
                    with client.as_current():
                        result: list[float] = []
                        cost = costs.spent(
                            client, lambda k=name, c=number, r=result: r.append(work.total(k, c)), number, resting
                        )
                    (runs.weak if weak else runs.strong).setdefault(n, []).append(cost)
                    if not weak:
                        runs.numbers.add(result[0])
    return found


def said(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(found: dict[str, Runs], chunks: int) -> None:
    one = {name: costs.median(runs.strong[1]) for name, runs in found.items()}
    print(
        f"{chunks} chunks in the strong runs; milliseconds a chunk on one worker (its own CPU); CPU of client and scheduler"
    )
    for name, cost in one.items():
        wall, workers, fixed, each = (1e3 * c for c in (cost.wall, cost.workers, *found[name].serial(chunks)))
        bound = work.KERNELS[name].bound
        apart = f"{fixed:.0f} a call and " if fixed else "with what a call takes "
        same = "the same sum on all" if len(found[name].numbers) == 1 else f"SUMS DIFFER: {found[name].numbers}"
        print(f"  {name:11s} {wall:6.1f} ({workers:.1f}); {apart}{each:.2f} a chunk; {bound}; {same}")
    print("efficiency: median (lowest to highest of the repeats); of the control; CPU of the workers over that of one")
    for n in found[next(iter(found))].strong:
        if n == 1:
            continue
        for weak in (False, True):
            control = statistics.median(found["control"].efficiencies(n, weak)) if "control" in found else None
            for name, runs in found.items():
                own = runs.efficiencies(n, weak)
                line = f"  {n:2d} workers, {'weak' if weak else 'strong':6s} {name:11s} {said(own)}"
                if control is not None and name != "control":
                    line += f"; {statistics.median(own) / control:.2f} of the control"
                several = costs.median((runs.weak if weak else runs.strong)[n])
                print(line + f"; by CPU {runs.by_cpu(n, weak):.2f}; CPU {several.workers / one[name].workers:.2f}")


def bandwidth(clients: dict[int, Client]) -> None:
    print("a = b + factor * c in arrays of 128 MiB, GB/s of all workers together, median of three (lowest to highest)")
    for client in clients.values():
        client.run(work.triad, seconds=0.05)
    sums: dict[int, list[float]] = {n: [] for n in clients}
    for _ in range(3):
        for n, client in clients.items():
            sums[n].append(sum(client.run(work.triad, seconds=0.4).values()) / 1e9)
    one = statistics.median(sums[1])
    for n, rates in sums.items():
        print(f"  {n:2d} workers: {said(rates)}; {statistics.median(rates) / (n * one):.2f} of n times one")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=powers(), help="1 is always among them")
    parser.add_argument("--kernels", choices=list(work.KERNELS), nargs="+", default=list(work.KERNELS))
    parser.add_argument("--chunks", type=int, help="in the strong runs; default 8 a worker, at least 32")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="fewer chunks: under a minute on a quiet machine, and coarse"
    )
    parser.add_argument("--model", action="store_true", help="and what limits a run of up to 1 000 workers")
    given = parser.parse_args()
    numbers, names = sorted({1, *given.workers}), list(given.kernels)
    least = 4 if given.quick else 32
    chunks = given.chunks or max(least, (2 if given.quick else 8) * max(numbers))
    print(f"{cores()} cores, load {os.getloadavg()[0]:.1f} before; workers of one thread each")
    with clusters(numbers) as (clients, start):
        first = warmed(clients, names)
        print(f"start of {numbers[-1]} workers {start:.1f} s; the first call of a kernel takes {first:.2f} s more")
        bandwidth(clients)
        resting = costs.idle()
        print(f"client and schedulers at rest: {resting:.1%} of a core, left out below")
        found = measured(clients, names, chunks, given.repeat, resting)
        table(found, chunks)
        largest = clients[numbers[-1]]
        with largest.as_current():
            costs.empty(largest, (200,) if given.quick else (200, 2000), resting)
        costs.graphs((4, 8) if given.quick else (16, 48))
        with largest.as_current():
            costs.tiles(largest, (8, 24) if given.quick else (64, 256))
    print(f"load {os.getloadavg()[0]:.1f} after")
    if given.model:
        chunk = {n: costs.median(r.strong[1]).workers for n, r in found.items()}
        serial = {n: r.serial(chunks) for n, r in found.items()}
        moved = {n: work.KERNELS[n].moved for n in found}
        if given.quick:
            print("\nthe model below is from a quick run: its serial costs are mostly those of a call")
        model.show(model.Measured(start + first, chunk, serial, moved))


if __name__ == "__main__":
    main()
