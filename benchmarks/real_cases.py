"""Real observations withheld: how far background and optimal interpolation are from them, and whether errors are what they say.

Run: python benchmarks/real_cases.py [--figures FOLDER]

Data: ../shared/data/wc13_4dvar, kodc_1968 and bathymetry (see its MANIFEST.md). Two to five minutes on two cores.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import real_analyses as real
from conftest import shared_folder

NUMBERS = ("n_used", "n_outside", "n_duplicate", "innovation_rms", "residual_rms", "innovation_chi2", "reduced_chi2")


def show(title: str, cases: list[real.Withheld], mean_only: bool = False) -> None:
    """One line for each analysis, and what they give together; ``mean_only`` where the mean of the used is the background."""
    print(f"\n{title}")
    print(
        f"  {'withheld':<11}{'used':>5}{'held':>6}{'comp.':>6}  {'chi2':>5}  {'fit to used':>15}  "
        f"{'background':>10}{'mean':>8}{'OI':>8}  statistics"
    )
    for c in cases:
        rms = [f"{np.sqrt((m**2).mean()):.4f}" for m in (c.background, c.mean, c.analysis)]
        if mean_only:
            rms[0] = "-"
        print(
            f"  {c.name:<11}{c.counts['n_used']:>5}{c.counts['n_held']:>6}{c.counts['n_compared']:>6}  {c.chi2:>5.2f}  "
            f"{c.fit[0]:>6.3f} -> {c.fit[1]:.3f}  {rms[0]:>10}{rms[1]:>8}{rms[2]:>8}  {c.statistics}"
        )
    s = real.score(cases)
    print(
        f"  together: {s.n} withheld in {s.blocks} blocks, RMS of OI {s.analysis:.4f}, chi2 there {s.predicted_chi2:.2f}"
    )
    if not mean_only:
        print(
            f"    less than the background's {s.background:.4f} by {_interval(s.background - s.analysis, s.less_than_background)}"
        )
    print(f"    less than the mean's {s.mean:.4f} by {_interval(s.mean - s.analysis, s.less_than_mean)}")


def _interval(value: float, ends: tuple[float, float]) -> str:
    return f"{value:.4f} [{-ends[1]:.4f}, {-ends[0]:.4f}]"


def delivered(case: real.Wc13, cases: list[real.Withheld]) -> list[real.Withheld]:
    """Sea level with observation errors as delivered, each by itself."""
    fold = real.fold_of(case.sla)
    return [
        real.withhold(c.name, case.grid, case.sla, fold == k, real.as_delivered(c), real.box_of(case.sla))
        for k, c in enumerate(cases)
    ]


def figures(folder: Path, california: real.Wc13, sea: real.YellowSea) -> None:
    import matplotlib.pyplot as plt

    from oceankit.products import plot_map

    found = real.cold_water(sea)
    figure, axes = plt.subplots(1, 2, figsize=(13, 8), gridspec_kw={"wspace": 0.4})
    for ax, name in zip(axes, ("temperature", "error"), strict=True):
        plot_map(found[name], ax=ax, observations=sea.obs)
    figure.savefig(folder / "yellow_sea_august_1968.png", dpi=80)
    figure, axes = plt.subplots(1, 2, figsize=(13, 8), gridspec_kw={"wspace": 0.4})
    for ax, name in zip(axes, ("sla", "sst"), strict=True):
        analysis, _ = real.innovation_map(california, name)
        largest = float(abs(analysis).max())
        plot_map(analysis, ax=ax, title=f"innovations of {name}", cmap="RdBu_r", vmin=-largest, vmax=largest)
    figure.savefig(folder / "california_innovations.png", dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figures", type=Path, help="folder for maps to look at")
    options = parser.parse_args()
    data = shared_folder() / "data"
    missing = [n for n in ("wc13_4dvar", "kodc_1968", "bathymetry") if not (data / n).is_dir()]
    if missing:
        print(f"skipped: no {', '.join(missing)} in {data}")
        return
    print("intervals: 95 %, whole blocks drawn 5000 times")
    print("mean: the background with the mean innovation of the used added, which is what OI starts from")
    print("chi2: d^T (S + R)^-1 d / n of the used; there: mean of misfit^2 / (analysis + observation error variance)")
    case = real.wc13(data)
    print("\nCalifornia Current (WC13), 3 to 7 January 2004: innovations y - H(xb) of 6815 observations")
    for name in ("sla", "sst"):
        _, found = real.innovation_map(case, name)
        print(f"  map of all {name}: " + ", ".join(f"{n} {float(found[n]):.5g}" for n in NUMBERS))
    sea_level = real.sea_level_boxes(case)
    show("sea level anomaly (m), gridded AVISO: no tracks; boxes of 2 degrees, a fifth at a time", sea_level)
    show("the same with observation errors as delivered, taken for independent", delivered(case, sea_level))
    show("sea surface temperature (K), a day at a time; blocks: boxes of 2 degrees with all days", real.sst_days(case))
    show("sea surface temperature (K), boxes of 2 degrees on all days, a fifth at a time", real.sst_boxes(case))
    for variable, unit in (("temperature", "K"), ("salinity", "1")):
        show(f"{variable} of profiles ({unit}), a cast at a time: no bar, casts are few", real.casts(case, variable))
    sea = real.yellow_sea(data)
    print(
        "\nYellow Sea (KODC), 4 to 13 August 1968, temperature at 50 m (degC): "
        + ", ".join(f"{k} {v}" for k, v in sea.counts.items())
    )
    show("a line of stations at a time, statistics stated beforehand", real.lines(sea), mean_only=True)
    show("a line of stations at a time, likeliest statistics", real.lines(sea, real.likeliest), mean_only=True)
    found = real.cold_water(sea)
    print(
        f"  map of all: {float(found.temperature.min()):.1f} to {float(found.temperature.max()):.1f} degC, error "
        f"{float(found.error.min()):.2f} to {float(found.error.max()):.2f} degC, chi2 {float(found.reduced_chi2):.2f}"
    )
    if options.figures is not None:
        figures(options.figures, case, sea)


if __name__ == "__main__":
    main()
