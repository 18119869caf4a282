"""Forecast scores and costs, on periods never used for fitting: Kaplan SST, surge residuals, waves.

python benchmarks/forecast.py [--only kaplan surge waves] [--seeds 5]

Needs the data beside the repository (see the guide); prints the scoreboard of each, the bars it is held to, the share
of the network's correction that was kept, and what training and predicting cost.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import xarray as xr

from oceankit.forecast import Forecaster, scoreboard

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "forecast"
LATITUDES = [-12.47, -18.0, -19.28, -32.15, -34.47, -38.34, -33.87, -31.83]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    if not DATA.is_dir():
        print(f"skipped: no data in {DATA}")
        return
    for name in args.only:
        print(f"== {name}")
        CASES[name](args.seeds)


def kaplan(seeds: int) -> None:
    sst = xr.open_dataset(DATA / "kaplan_sst_anom_tropPac_5deg_1856_2014.nc")["sst_anom"].load()
    train, years = ("1900", "1999"), ("1970", "1999")
    wall, cpu = time.perf_counter(), time.process_time()
    model = Forecaster(leads=range(1, 13), climatology=years).fit(sst.sel(time=slice(*train)))
    print(f"training: {time.process_time() - cpu:.0f} CPU s, {time.perf_counter() - wall:.0f} s; bar: 300 CPU s")
    recent = sst.sel(time=slice("1998", "2000"))
    model.predict(recent)
    best = min(timed(lambda: model.predict(recent)) for _ in range(20))
    print(
        f"12 leads of one map: {1000 * best:.1f} ms; bar: 20 ms; {model.parameters} values in each of {model.folds} networks"
    )
    board = scoreboard(sst, train=train, test=("2000", "2014"), leads=range(1, 13), climatology=years, seeds=seeds)
    show(board, ("rmse", "crps", "bss", "sedi", "ece", "nino34_corr"), (1, 3, 6, 9))
    ratio = (board["rmse"].sel(model="forecaster") / board["rmse"].sel(model="blend")).values
    print(
        "RMSE over the blend's, leads 1 to 9:",
        np.round(ratio[:9], 3),
        f"mean of leads 2 to 6: {ratio[1:6].mean():.4f} (bar 0.97)",
    )
    ours = board.sel(model="forecaster")
    for name, bars in (("bss", (0.45, 0.21, 0.13)), ("sedi", (0.80, 0.56, 0.43)), ("ece", (0.02,) * 3)):
        print(f"{name} at leads 1, 3, 6:", *(spread(ours, name, lead) for lead in (1, 3, 6)), "bars", bars)
    print("Nino3.4 at 6 months:", spread(ours, "nino34_corr", 6), "bar 0.65")
    network(board)


def surge(seeds: int) -> None:
    from oceankit.anomaly import surge

    gauges = xr.open_dataset(DATA / "tide_gauges_australia_hourly_2012_2014.nc")["sea_level"].load()
    gauges.attrs["units"] = "m"
    lat = xr.DataArray(LATITUDES, dims="station")
    residual = surge.residual(gauges, fit=slice("2012", "2013"), lat=lat)["residual"].transpose("time", "station")
    residual = residual.copy(data=residual.to_pandas().interpolate(limit=3).values)
    board = scoreboard(residual, train=("2012", "2013"), test=("2014", "2014"), leads=(1, 3, 6, 12, 24), seeds=seeds)
    show(board, ("rmse", "crps", "bss", "ece"), (1, 6, 24))
    print("RMSE of each gauge at 6 h (the bar, 5.0 cm, is for their mean):")
    model = Forecaster(leads=(1, 3, 6, 12, 24)).fit(residual.sel(time=slice("2012", "2013")))
    own = model.hindcast(residual, period=("2014-01-01", "2014-12-30T23")).sel(lead_time=6)
    error = own["mean"] - residual.sel(time=own["valid_time"]).drop_vars("time")
    each = np.sqrt((error**2).mean("init_time"))
    print(
        dict(zip(each["station"].values.tolist(), each.values.round(4).tolist(), strict=True)),
        f"mean {float(each.mean()):.4f} m",
    )
    network(board)


def waves(seeds: int) -> None:
    height = xr.open_dataset(DATA / "ndbc_waves_hourly_1996_2005.nc")["hs"].load().transpose("time", "buoy")
    board = scoreboard(
        height, train=("1996", "2002"), test=("2003", "2005"), leads=(1, 3, 6, 12, 24), seeds=seeds, event_threshold=2.5
    )
    show(board, ("rmse", "crps", "bss_vs_observed_rate", "sedi", "ece"), (1, 6, 24))
    print("BSS of Hs > 2.5 m at 6 h:", spread(board.sel(model="forecaster"), "bss_vs_observed_rate", 6), "bar 0.55")
    network(board)


def show(board: xr.Dataset, names: tuple[str, ...], leads: tuple[int, ...]) -> None:
    print(board.attrs)
    for lead in leads:
        print(f"lead {lead}")
        print(board[list(names)].sel(lead=lead).drop_vars("lead").to_dataframe().round(4).to_string())


def network(board: xr.Dataset) -> None:
    print(
        "share of the network's correction kept:",
        board["kept_mean"].values.round(2),
        board["kept_spread"].values.round(2),
    )
    for lead in board["lead"].values:
        low, high = (float(board[f"crps_gain_{e}"].sel(lead=lead)) for e in ("low", "high"))
        gain, zero = (
            float(board["crps_gain"].sel(lead=lead)),
            float(board["crps"].sel(lead=lead, model="forecaster_zero")),
        )
        print(
            f"lead {lead}: CRPS saved by the network {100 * gain / zero:.2f} % [{100 * low / zero:.2f}, {100 * high / zero:.2f}]"
        )


def spread(scores: xr.Dataset, name: str, lead: int) -> str:
    at = scores.sel(lead=lead)
    return f"{float(at[name]):.3f} [{float(at[name + '_low']):.3f}, {float(at[name + '_high']):.3f}]"


def timed(call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


CASES = {"kaplan": kaplan, "surge": surge, "waves": waves}

if __name__ == "__main__":
    main()
