"""Train the forecasters that come with the package, score them on years they have not seen, and write their cards.

    python examples/train_shipped_models.py sst   --data oisst_tasmania_1982_2016.nc --elsewhere wa.nc mediterranean.nc
    python examples/train_shipped_models.py surge --data tide_gauges_australia_hourly_2012_2014.nc

The first takes some minutes and needs daily sea surface temperature along (time, lat, lon); the second hourly sea level
along (time, station). Both write a model and a card into ``--out``, by default the package itself.
"""

import argparse
import time
from pathlib import Path

import xarray as xr

import oceankit
from oceankit.anomaly import surge
from oceankit.forecast import DampedPersistence, Forecaster, verify
from oceankit.forecast._events import probability
from oceankit.forecast.saving import save

OUT = Path(oceankit.__file__).parent / "forecast" / "models"
LATITUDES = {
    "Darwin": -12.47, "Broome": -18.0, "CapeFerguson": -19.28, "Thevenard": -32.15,
    "PortKembla": -34.47, "Portland": -38.34, "Esperance": -33.87, "Hillarys": -31.83,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=("sst", "surge"))
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--elsewhere", nargs="*", type=Path, default=[], help="daily series of places it never saw")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    (sst if args.model == "sst" else storm_surge)(args)


def sst(args: argparse.Namespace) -> None:
    """Daily SST and the probability of a marine heatwave day, 1 to 14 days ahead."""
    field = in_celsius(one(args.data))
    train = field.isel(lat=slice(1, None, 3), lon=slice(1, None, 3)).sel(time=slice(None, "2011"))
    model = fit(Forecaster(leads=range(1, 15), local=True, epochs=args.epochs), train)
    tables = []
    seen = {"Tasman Sea 2012-2016, cells trained on": (field.isel(lat=slice(1, None, 3), lon=slice(1, None, 3)), model)}
    other = field.isel(lat=slice(2, None, 6), lon=slice(2, None, 6))
    seen["Tasman Sea 2012-2016, cells in between"] = (other, model.localise(other.sel(time=slice(None, "2011"))))
    for path in args.elsewhere:
        series = in_celsius(one(path))
        label = f"{path.stem} 2012-{int(series['time'].dt.year[-1])}, never seen"
        seen[label] = (series, model.localise(series.sel(time=slice(None, "2011"))))
    for label, (data, own) in seen.items():
        tables.append((label, scored(own, data, ("2012-01-01", None), slice(None, "2011"), [1, 3, 5, 7, 10, 14])))
    write(
        model, args.out / "sst_daily", tables, "degC",
        title="Daily sea surface temperature and marine heatwave days, 1 to 14 days ahead",
        data="NOAA OISST v2, 0.25 degree, daily, 1982-2011, every third cell in each direction of 32 x 32 cells off "
        "Tasmania (147-155 E, 37-45 S): 121 cells, 30 years. NOAA, public domain.",
        method="Local: each cell from its own past 30 days. Base: damped persistence of the place itself; correction: "
        "the mean of five networks that all cells share. `localise(history)` takes climatology, threshold, "
        "damping and spread from years of the new place and keeps the networks.",
        limits="- It knows no weather: no wind, no heat flux, no currents, no neighbours.\n"
        "- One sea stands behind the networks. Elsewhere score it on your own years first.\n"
        "- The event is the 90th percentile of the place's own history. Where the sea has warmed since, heatwaves "
        "are commoner than in the history, and probabilities are too low: see the ECE of the Mediterranean.\n"
        "- Not for decisions about fish farms or fisheries on its own.",
    )  # fmt: skip


def storm_surge(args: argparse.Namespace) -> None:
    """Hourly storm-surge residual, 1 to 24 h ahead."""
    gauges = one(args.data)
    gauges.attrs["units"] = "m"
    lat = xr.DataArray([LATITUDES[str(s)] for s in gauges["station"].values], dims="station")
    residual = surge.residual(gauges, fit=slice("2012", "2013"), lat=lat)["residual"]
    # Gaps of three hours and less, as in the scores this is compared with.
    filled = residual.to_series().unstack("station").interpolate(limit=3)[list(gauges["station"].values)]
    residual = residual.copy(data=filled.values.reshape(residual.transpose("time", "station").shape))
    residual.attrs["units"] = "m"
    model = fit(
        Forecaster(leads=range(1, 25), local=True, epochs=args.epochs), residual.sel(time=slice("2012", "2013"))
    )
    table = scored(model, residual, ("2014-01-01", "2014-12-30T23"), slice("2012", "2013"), [1, 3, 6, 12, 18, 24])
    write(
        model, args.out / "surge_hourly", [("eight gauges, 2014", table)], "m",
        title="Hourly storm-surge residual, 1 to 24 hours ahead",
        data="Hourly sea level of eight Australian gauges (ABSLMP, Bureau of Meteorology, through the R package "
        "TideHarmonics), 2012-2013; tide by UTide on the same two years.",
        method="Local: each gauge from its own past 25 hours, without wind and pressure. Base: damped persistence; "
        "correction: the mean of five networks that all gauges share.",
        limits="- Eight Australian gauges and two years do not make a Chinese typhoon model. No typhoon surge is in "
        "the training; a surge that has not begun cannot be seen coming.\n"
        "- Part of what it forecasts is tide that the analysis left in the residual.\n"
        "- Not for warnings on its own: use it beside a storm-surge model with wind and pressure.",
    )  # fmt: skip


def fit(model: Forecaster, train: xr.DataArray) -> Forecaster:
    began = time.process_time()
    model.fit(train, progress=lambda epoch, epochs, score: print(f"epoch {epoch} of {epochs}: CRPS {score:.5f}"))
    print(
        f"trained in {time.process_time() - began:.0f} CPU s; {model.parameters} values in each of {model.folds} networks"
    )
    return model


def scored(model: Forecaster, data: xr.DataArray, period: tuple, years: slice, shown: list[int]) -> xr.Dataset:
    """Scores of the forecaster, of the same without its network, and of damped persistence, at some leads."""
    history = data.sel(time=years)
    last = data["time"].values[-1 - max(model.leads)]
    period = (period[0], period[1] or str(last)[:10])
    step = slice(None, None, 5 if data.ndim > 1 and data.size > 1e6 else 1)
    ours = model.hindcast(data, period=period).isel(init_time=step)
    zero = model.without_network().hindcast(data, period=period).isel(init_time=step)
    damped = DampedPersistence(leads=model.leads).fit(history).hindcast(data, period=period).isel(init_time=step)
    limit = ours["threshold"]
    damped["p_event"] = limit.copy(data=probability(damped["mean"].values, damped["std"].values, limit.values))
    above = happened(ours, data)
    out = {}
    for label, forecast in (("forecaster", ours), ("forecaster_zero", zero), ("damped_persistence", damped)):
        reference = None if label == "damped_persistence" else (zero if label == "forecaster" else damped)
        found = verify(
            forecast[["mean", "std", "p_event"]].sel(lead_time=shown), data, event=above,
            reference=None if reference is None else reference[["mean", "std", "p_event"]].sel(lead_time=shown),
            block=30 if model._axis.step.cadence == "daily" else 120, n_boot=500,
        )  # fmt: skip
        out[label] = found
        if label == "forecaster":
            against = verify(
                forecast[["mean", "std", "p_event"]].sel(lead_time=shown), data, event=above,
                reference=damped[["mean", "std", "p_event"]].sel(lead_time=shown),
                block=30 if model._axis.step.cadence == "daily" else 120, n_boot=500,
            )  # fmt: skip
            out["gain"] = against
    names = sorted(set.intersection(*(set(map(str, v.data_vars)) for v in out.values())))
    return xr.concat(
        [v[names].drop_dims([d for d in v.dims if d != "lead_time"], errors="ignore") for v in out.values()],
        dim=xr.DataArray(list(out), dims="model", name="model"), coords="minimal", compat="override", join="override",
    ).assign(
        {f"gain_{n}": out["gain"][n] for n in ("rmse_gain_low", "rmse_gain_high", "crps_gain_low", "crps_gain_high")}
        | {f"net_{n}": out["forecaster"][n] for n in ("crps_gain", "crps_gain_low", "crps_gain_high")}
    )  # fmt: skip


def happened(forecast: xr.Dataset, data: xr.DataArray) -> xr.DataArray:
    """Whether the truth was above the forecaster's threshold, along time."""
    out = []
    for lead in forecast["lead_time"].values:
        own = forecast["threshold"].sel(lead_time=lead)
        out.append(
            own.swap_dims(init_time="valid_time").drop_vars(["init_time", "lead_time"]).rename(valid_time="time")
        )
    limits = xr.concat(out, dim="time").drop_duplicates("time").sortby("time")
    truth = data.sel(time=limits["time"])
    return (truth > limits).rename("event")


def write(
    model: Forecaster, path: Path, tables: list, units: str, *, title: str, data: str, method: str, limits: str
) -> None:
    lines = [f"# {title}", "", f"`oceankit.forecast.pretrained({path.name!r})`, {len(model.leads)} leads.", ""]
    lines += ["## Data", "", data, "", "## Method", "", method, ""]
    kept = model.kept
    lines += [
        "Share of the networks' correction that is kept, from the first lead to the last: "
        + ", ".join(f"{v:g}" for v in kept["mean"].values) + " (mean); "
        + ", ".join(f"{v:g}" for v in kept["spread"].values) + " (spread).", "",
        "## Scores on years not used for fitting, choosing or calibrating", "",
        "DP is damped persistence of the same place, zero the forecaster without its networks. In brackets: 95 % intervals of "
        "the block bootstrap of what the forecaster saves; above zero it is better.", "",
    ]  # fmt: skip
    for label, table in tables:
        lines += [f"### {label}", ""]
        lines += [
            f"| lead | RMSE ({units}) | DP | saved | CRPS | DP | saved | saved over zero | BSS | DP | ECE |",
            "|" + "---|" * 11,
        ]
        for lead in table["lead_time"].values:
            t = table.sel(lead_time=lead)
            us, dp = t.sel(model="forecaster"), t.sel(model="damped_persistence")
            digits = 3 if units == "degC" else 4
            number = lambda v, d=digits: f"{float(v):.{d}f}"  # noqa: E731
            pair = lambda a, b, d=digits: f"[{float(t[a]):.{d}f}, {float(t[b]):.{d}f}]"  # noqa: E731, B023
            lines.append(
                f"| {lead} | {number(us['rmse'])} | {number(dp['rmse'])} | {pair('gain_rmse_gain_low', 'gain_rmse_gain_high')} "
                f"| {number(us['crps'])} | {number(dp['crps'])} | {pair('gain_crps_gain_low', 'gain_crps_gain_high')} "
                f"| {pair('net_crps_gain_low', 'net_crps_gain_high')} "
                f"| {number(us['bss_vs_observed_rate'], 3)} | {number(dp['bss_vs_observed_rate'], 3)} | {number(us['ece'], 3)} |"
            )
        lines.append("")
    lines += ["BSS is against the observed rate; the event is a value above the 90th percentile of the training years "
              "for the time of the year.", "", "## What it must not be used for", "", limits, ""]  # fmt: skip
    text = "\n".join(lines)
    save(model, path.with_suffix(".safetensors"), card={"title": title, "data": data})
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


def one(path: Path) -> xr.DataArray:
    with xr.open_dataset(path) as ds:
        names = [n for n, v in ds.data_vars.items() if "time" in v.dims]
        return ds[names[0]].load().astype(float)


def in_celsius(field: xr.DataArray) -> xr.DataArray:
    if float(field.mean()) > 100:
        field = field - 273.15
    field.attrs.update(units="degC", standard_name="sea_surface_temperature")
    return field


if __name__ == "__main__":
    main()
