"""What a replay costs and how good it is: the Tasman Sea heatwave of 2015/16, 32 x 32 cells.

Run: python benchmarks/replay.py [FIRST LAST day, 2015-08-01 2016-06-30]      (its data: ../shared/data/oisst_tasmania)

Prints the seconds of the start, of a day by part, and of the whole; a day's detection from the kept state against the same
from the whole record, as it is done where nothing is kept; skill, alerts and leads as the report says them.
"""

import csv
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr

from oceankit.anomaly import heatwaves, update
from oceankit.fields import open_fields
from oceankit.replay import Settings, replay
from oceankit.replay.living import read

DATA = Path(__file__).parents[2] / "shared" / "data" / "oisst_tasmania" / "oisst_tasmania_1982_2016.nc"


def streamed(sst: xr.DataArray, folder: Path, settings: Settings) -> tuple[float, float]:
    """Seconds of adding one day to the state, and of finding the heatwaves of the whole record up to that day."""
    with open_fields(folder / "prepared" / "climatology.nc") as ds:
        clim = ds.load()
    kept = read(folder / "days", settings.last - 1, "state.nc").assign(dict(clim.data_vars))
    today = sst.sel(time=[settings.last.astype("M8[ns]")]).astype("f8")
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        update(kept, today)
        times.append(time.perf_counter() - begin)
    record = sst.sel(time=slice(None, settings.last.astype("M8[ns]")))
    heatwaves(record[-400:], clim)  # compiled
    begin = time.perf_counter()
    heatwaves(record, clim)
    return statistics.median(times), time.perf_counter() - begin


def main() -> None:
    if not DATA.exists():
        sys.exit(f"skipped: needs {DATA.relative_to(Path(__file__).parents[2])} beside the project")
    days = tuple(sys.argv[1:3]) if len(sys.argv) > 2 else ("2015-08-01", "2016-06-30")
    settings = Settings(base=("1983", "2011"), train=("1983", "2011"), days=days)
    with tempfile.TemporaryDirectory() as name, open_fields(DATA) as ds:
        folder, sst = Path(name) / "replay", ds["sst"].load()
        begin = time.perf_counter()
        replay(sst, folder, settings)
        whole = time.perf_counter() - begin
        with open(folder / "seconds.csv", encoding="ascii") as file:
            rows = list(csv.DictReader(file))
        one = [float(row["seconds"]) for row in rows]
        print(f"start {whole - sum(one):.0f} s (training twice, choice of the alert's probability) and report")
        print(f"a day: {statistics.median(one):.2f} s in the median, {np.percentile(one, 95):.2f} s in 95 % of {len(one)}, "
              f"{max(one):.2f} s at most")  # fmt: skip
        for part in [n for n in rows[0] if n not in ("day", "seconds")]:
            print(f"  {part:<22}{statistics.median([float(row[part]) for row in rows]):6.2f} s")
        print(f"whole: {whole / 60:.1f} minutes")
        state, batch = streamed(sst, folder, settings)
        print(
            f"detection of a day: {state:.2f} s from the state, {batch:.2f} s from the whole record: {batch / state:.0f}x"
        )
        _skill(folder)
        chosen = json.loads((folder / "prepared" / "decision.json").read_text())
        print(
            f"alert from a probability of {chosen['confidence']:g}; onsets warned of, missed, false alarms in {chosen['starts']}:"
        )
        print("  " + ", ".join(f"{p}: {n}" for p, n in chosen["scores"].items() if n[0]))


def _skill(folder: Path) -> None:
    with xr.open_dataset(folder / "scores.nc", decode_timedelta=False) as scores:
        for lead in scores["lead_time"].values:
            at = scores.sel(lead_time=lead)
            skill, low, high = (100 * float(at[f"bss_vs_reference{end}"]) for end in ("", "_low", "_high"))
            print(f"Brier skill against damped persistence, {lead:2d} days: {skill:5.1f} % [{low:.1f}, {high:.1f}]")
    told = json.loads((folder / "judgement.json").read_text())
    print(f"peak {told['peak']}")
    for one in told["alerts"]:
        print(f"{one['level']:<7} hits {one['hits']} of {one['days_observed']} days, {one['misses']} missed, "
              f"{one['false_alarms']} false alarms of {one['days_alerted']} days of alert; first {one['first_alert']}; leads "
              f"{[o['lead_days'] for o in one['onsets'] if not o['since_the_start']]}")  # fmt: skip


if __name__ == "__main__":
    main()
