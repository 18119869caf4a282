"""What a cycle of the shallow-water basin costs: the model, the analysis, and the files of a cycling run.

Run: python benchmarks/cycling.py
"""

import tempfile
import time

import numpy as np

from oceankit.assimilation import LETKF, RTPS, GaspariCohn, cycling, twin
from oceankit.numerics import threads

MEMBERS, CYCLES = 40, 10


def main() -> None:
    model = twin.MODELS["shallow_water"]
    since = time.perf_counter()
    states = np.ascontiguousarray(model.begin(np.random.default_rng(0), MEMBERS))
    print(f"free run that members are drawn from, once a process: {time.perf_counter() - since:.1f} s")
    for number in sorted({1, threads.count()}):
        with threads.limit(number):
            since = time.perf_counter()
            for _ in range(CYCLES):
                model.step(states, model.dt, model.steps)
            print(
                f"model, {MEMBERS} members, {number} threads: {1e3 * (time.perf_counter() - since) / CYCLES:.0f} ms a cycle"
            )
    letkf = LETKF(localization=GaspariCohn(200.0), inflation=RTPS(0.6))
    twin.run("shallow_water", letkf, cycles=1, seed=1, members=MEMBERS, spin_up=0)
    since = time.perf_counter()
    twin.run("shallow_water", letkf, cycles=CYCLES, seed=1, members=MEMBERS, spin_up=0)
    print(f"twin.run with the LETKF: {1e3 * (time.perf_counter() - since) / CYCLES:.0f} ms a cycle")
    times = np.datetime64("2000-01-01") + np.arange(CYCLES + 1)
    basin = twin.shallow_water_basin(times=times, members=MEMBERS)
    with tempfile.TemporaryDirectory() as folder:
        since = time.perf_counter()
        found = cycling.run(
            letkf, basin.ensemble, basin.model, basin.observations, times=times[1:], directory=f"{folder}/run"
        )
        seconds = time.perf_counter() - since
    worked = float(found.seconds_forecast.sum() + found.seconds_analysis.sum())
    print(
        f"cycling.run: {1e3 * seconds / CYCLES:.0f} ms a cycle, of which {1e3 * (seconds - worked) / CYCLES:.0f} ms are files, "
        "ledger and checks"
    )


if __name__ == "__main__":
    main()
