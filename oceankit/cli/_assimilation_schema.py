"""The sections of the run file that correct the field by observations."""

from typing import Any

from oceankit.cli._choices import (
    ASSIMILATION_METHODS,
    CHECKS,
    COVARIANCES,
    INFLATIONS,
    LOCALIZATIONS,
    TAPERS,
)  # fmt: skip
from oceankit.cli._input_schema import MEMBERS, SELECT
from oceankit.cli._types import Choice, Either, Flag, Key, Number, Path, Section, Several, Text

__all__ = ["ASSIMILATE"]

_positive = Number(above=0)


def _even(number: Any) -> str | None:
    return f"is {number}; give an even number" if number % 2 else None


def _bounds(pair: Any) -> str | None:
    low, high = (None if p == "none" else p for p in pair)
    if low is None and high is None:
        return "is [none, none], which bounds nothing; leave it out"
    if low is not None and high is not None and not low < high:
        return f"is [{low:g}, {high:g}]; the first must be less than the second"
    return None


TRACKS = Section(
    "tracks",
    "Ground tracks as an altimeter flies them.",
    {
        "number": Key(Number(least=1, whole=True), "half orbits around the globe", required=True),
        "spacing": Key(_positive, "km between observations along a track", required=True),
        "inclination": Key(Number(above=0, most=90), "highest latitude reached", default=66.0),
    },
)
TRUTH = Section(
    "truth",
    "The field that stands for the ocean. It is put on the same grid as the input.",
    {
        "paths": Key(Several(Path(), alone=True), "files; by default those of `input`"),
        "variable": Key(Text("name"), "its name there; by default that of `input`"),
        "select": Key(SELECT, "the part that is wanted, as in `input`"),
    },
)
SYNTHETIC = Section(
    "synthetic",
    "An observing-system experiment: observations are sampled from a known field with random errors, some are withheld, "
    "and the analysis is scored there against the truth. Everything made from them is stamped SYNTHETIC OBSERVATIONS.",
    {
        "truth": Key(TRUTH, "the field that stands for the ocean", required=True),
        "tracks": Key(TRACKS, "observations along satellite tracks"),
        "points": Key(Number(least=1, whole=True), "observations at so many random points (those at sea are kept)"),
        "error_std": Key(_positive, "standard deviation of the errors drawn, in the field's units", required=True),
        "withhold": Key(
            Number(above=0, most=0.9), "share of whole tracks, and of points, that are not assimilated", default=0.2
        ),
        "seed": Key(Number(least=0, whole=True), "of the random numbers", default=1),
    },
)
CHECK = Section(
    "background check",
    "Observations farther from the background than the errors of both can explain. The error of the background is "
    "`background_error_std`, and the spread where there is an ensemble.",
    {
        "method": Key(
            Choice(CHECKS),
            "`reject` flags them; `k_factor` keeps them all with a larger error (Sakov and Sandery 2017)",
            default="reject",
        ),
        "threshold": Key(
            _positive,
            "`reject`: standard deviations of the innovation, 3 if left out; `k_factor`: K, 2 if left out",
        ),
    },
)
THIN = Section(
    "thin",
    "Flag observations nearer than a distance to a better one (of smaller error). They count as near each other only where "
    "they are near in all that is given.",
    {
        "spacing": Key(_positive, "least distance in km", required=True),
        "time": Key(_positive, "the same in days"),
        "depth": Key(_positive, "the same in metres of depth"),
    },
    shorthand="spacing",
)
SUPEROB = Section(
    "superob",
    "Average observations in cells, weighted by their errors: of the cells of a width, and of windows of time and depth "
    "where these are given.",
    {
        "spacing": Key(_positive, "width of cells in km", required=True),
        "time": Key(_positive, "width of windows in days"),
        "depth": Key(_positive, "width of windows in metres of depth"),
    },
    shorthand="spacing",
)
OBSERVATIONS = Section(
    "observations",
    "Your own observations, or synthetic ones. A table is a NetCDF or Zarr file along `obs`, or a CSV file with a header; "
    "its columns are `value`, `error_std`, `lon`, `lat` and, where they are known, `time`, `depth` and `flag` "
    "(QARTOD; 3, 4 and 9 are not used). What is asked for is done in this order: `duplicates`, `background_check`, `thin`, "
    "`superob`; what these take out is counted in the output, and flagged with its reason in the table saved, which with "
    "`superob` holds the averages alone.",
    {
        "paths": Key(Several(Path(), alone=True), "one table, or several to be joined"),
        "units": Key(
            Text("units"), "of `value` and `error_std`, where the table does not say; held against the field's"
        ),
        "provenance_note": Key(Text(), "what the observations are and where they come from"),
        "duplicates": Key(
            Flag(),
            "flag those that repeat the place, time, depth and variable of an earlier one, whatever their values",
            default=False,
        ),
        "background_check": Key(CHECK, "flag or mistrust those far from the background"),
        "thin": Key(THIN, "flag those too near to others"),
        "superob": Key(SUPEROB, "average them in cells"),
        "save": Key(
            Path((".nc", ".zarr"), output=True),
            "write the table with innovations, residuals and what became of each observation; of an ensemble also what each "
            "member would have measured (`hx`) and its `spread`",
        ),
        "synthetic": Key(SYNTHETIC, "an observing-system experiment"),
    },
    one_of=(("paths",), ("synthetic",)),
)
ENSEMBLE = Section(
    "ensemble",
    "The static ensemble of `ensemble_oi`: its anomalies from its own mean say how errors hang together. It is put on the "
    "depths and the grid of the input. With `members: time` the times of a model run are its members.",
    {
        "paths": Key(Several(Path(), alone=True), "its files", required=True),
        "variable": Key(Text("name"), "its name there; by default that of `input`"),
        "select": Key(SELECT, "the part that is wanted, as in `input`"),
        "members": MEMBERS,
    },
)
LOCALIZATION = Section(
    "localization",
    "How far an observation reaches: distances at which its weight becomes zero.",
    {
        "kind": Key(
            Choice(LOCALIZATIONS), "`gaspari_cohn` falls smoothly, `boxcar` counts in full", default="gaspari_cohn"
        ),
        "radius": Key(_positive, "horizontal distance in km", required=True),
        "depth": Key(_positive, "the same in metres of depth; all depths alike if left out"),
        "time": Key(_positive, "the same in days; all times alike if left out"),
        "taper_on": Key(
            Choice(TAPERS),
            "for `gaspari_cohn`: the inverse of the error variance (`R`, as PDAF), or anomalies and innovations (as EnKF-C)",
            default="R",
        ),
    },
)
INFLATION = Section(
    "inflation",
    "Spread given back to the members.",
    {
        "kind": Key(
            Choice(INFLATIONS),
            "`multiplicative`: anomalies times the value after the analysis; `forgetting`: the background's covariance divided "
            "by it before; `rtps`, `rtpp`: relaxation to the spread, or to the perturbations, of the background",
            required=True,
        ),
        "value": Key(
            Number(), "`multiplicative` 0.5 to 10, `forgetting` 0.01 to 1, `rtps` and `rtpp` 0 to 1", required=True
        ),
    },
)
ASSIMILATE = Section(
    "assimilate",
    "Correct the field (the background) by observations. Errors and scales are yours to state: nothing is fitted to the "
    "observations. One field is corrected, the `variable` of the input; several fields together, where an observation of "
    "one corrects all, are for scripts (`oceankit.assimilation`).\n\n"
    "- `optimal_interpolation`, `three_d_var`: `background_error_std` and `length_scale` say what the errors of the field "
    "are. `three_d_var` knows the coast, holds the field in memory, and states no error of the analysis.\n"
    "- `ensemble_oi`: a static `ensemble` says it for one field. It states no error of the analysis either.\n"
    "- `enkf`, `denkf`, `etkf`, `estkf`, `eakf`, `letkf`, `lestkf`: the members of the input do (`input.members`). The mean "
    "of the analysis is what the following stages, figures and the product have; the spread is its stated error; "
    "`save_ensemble` writes the members. Chunks of the grid are read, analysed and written one after another.",
    {
        "method": Key(Choice(ASSIMILATION_METHODS), "how", default="optimal_interpolation"),
        "background_error_std": Key(
            _positive,
            "standard deviation of the field's error, in its units; needed by `optimal_interpolation` and `three_d_var`",
        ),
        "length_scale": Key(_positive, "correlation length of that error in km; needed by the same"),
        "depth_scale": Key(_positive, "the same in metres of depth; needed by them where the field has several depths"),
        "time_scale": Key(
            _positive, "the same in days, for `optimal_interpolation`; without it errors stay the same over time"
        ),
        "covariance": Key(
            Choice(COVARIANCES), "shape of the correlation, for `optimal_interpolation`", default="gaspari_cohn"
        ),
        "n_nearest": Key(
            Number(least=1, whole=True),
            "observations used at each cell, for `optimal_interpolation`; without it all, which is exact and slower",
        ),
        "steps": Key(
            Number(least=4, whole=True),
            "diffusion steps of `three_d_var`: the correlation is Matérn of smoothness `steps - 1`, near a Gaussian from 10 on",
            default=10,
            check=_even,
        ),
        "ensemble": Key(ENSEMBLE, "the static ensemble; needed by `ensemble_oi`"),
        "scale": Key(
            _positive,
            "of the static ensemble's covariance, for `ensemble_oi`: variability is larger than the error",
            default=1.0,
        ),
        "localization": Key(
            LOCALIZATION,
            "how far an observation reaches, for `ensemble_oi` and the filters; needed by `letkf` and `lestkf`; without it "
            "everywhere",
        ),
        "weight_grid": Key(
            Number(least=1, whole=True),
            "with a localization (not `eakf`): transforms are found at every so many rows and columns, and interpolated",
        ),
        "inflation": Key(INFLATION, "spread given back, for the filters"),
        "rotate": Key(Flag(), "whether a random rotation follows, for the filters", default=False),
        "seed": Key(Number(least=0, whole=True), "of the random numbers of `enkf` and of `rotate: true`", default=1),
        "bounds": Key(
            Several(Either(Number(), Choice(("none",)), "a number or `none`"), (2, 2)),
            "lowest and highest value that the analysis may have; what is set to one is counted",
            check=_bounds,
        ),
        "save_ensemble": Key(Path((".nc", ".zarr"), output=True), "write the members of the analysis, for the filters"),
        "observations": Key(OBSERVATIONS, "the observations", required=True),
    },
)
