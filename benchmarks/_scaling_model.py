"""Seconds of a run on n workers from what was measured on one, and what limits it; the formulae are in scaling_model.md."""

from typing import NamedTuple

FILE_SYSTEMS = (1.0, 10.0, 100.0)
"""GB/s of a shared file system: assumed, not measured."""
LARGER = (1, 10, 100)
"""Chunks as large as those that were measured, and larger."""
EACH, MOST, BAR = 100, 1000, 0.85


class Measured(NamedTuple):
    """What the benchmark printed, in seconds and bytes."""

    start: float
    chunk: dict[str, float]
    """Of each kernel, CPU of a worker for a chunk."""
    serial: dict[str, tuple[float, float]]
    """CPU of client and scheduler, of a call and of each chunk."""
    moved: dict[str, int]
    """Bytes of a chunk and of its result."""


class Terms(NamedTuple):
    """What the seconds of a run of ``chunks`` are made of."""

    once: float
    work: float
    serial: float
    files: float

    def seconds(self, n: int) -> float:
        """T(n) = start + F + C k / n + C s + C b / B. Nothing overlaps in it: no run takes longer."""
        return self.once + self.work / n + self.serial + self.files

    def efficiency(self, n: int) -> float:
        return self.work / (n * self.seconds(n))

    def up_to(self, efficiency: float) -> float:
        """Workers at which it has come down to this."""
        return (1 / efficiency - 1) * self.work / (self.once + self.serial + self.files)


def terms(known: Measured, name: str, chunks: int, times: int, speed: float) -> Terms:
    """Kernel and bytes grow with the chunk, what the scheduler does for it does not."""
    fixed, each = known.serial[name]
    bytes_moved = times * known.moved[name]
    return Terms(
        known.start + fixed, chunks * times * known.chunk[name], chunks * each, chunks * bytes_moved / (1e9 * speed)
    )


def show(known: Measured) -> None:
    chunks, speeds = EACH * MOST, ", ".join(f"{b:g}" for b in FILE_SYSTEMS)
    print("\nmodel, EXTRAPOLATED from this machine: T(n) = start + F + C k/n + C s + C b/B")
    print(
        f"  start {known.start:.1f} s; C = {chunks}, {EACH} chunks for each of {MOST} workers; B = {speeds} GB/s (assumed)"
    )
    print("  kernel, chunks as measured and larger: k, s (ms), b (MB);")
    print("  workers at which the term is as long as the work: scheduler, start and call, file system at each B;")
    print(f"  efficiency on {MOST} workers at each B; workers up to which it is {BAR}, at each B")
    for name in known.chunk:
        for times in LARGER:
            several = [terms(known, name, chunks, times, b) for b in FILE_SYSTEMS]
            first = several[0]
            each = f"{1e3 * first.work / chunks:7.0f} {1e3 * first.serial / chunks:6.2f} {times * known.moved[name] / 1e6:7.1f}"
            scheduler = first.work / first.serial if first.serial else float("inf")
            files = " ".join(f"{t.work / t.files:6.0f}" if t.files else "     -" for t in several)
            shares = " ".join(f"{t.efficiency(MOST):.2f}" for t in several)
            bars = " ".join(f"{t.up_to(BAR):4.0f}" for t in several)
            print(
                f"  {name:11s} x{times:<3d} {each}; {scheduler:6.0f} {first.work / first.once:7.0f} {files}; "
                f"{shares}; {bars}"
            )
