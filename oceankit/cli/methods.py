"""From `assimilate` to a method of the library, and what it is called in print."""

from collections.abc import Mapping
from typing import Any

from oceankit.assimilation import (
    EAKF,
    ESTKF,
    ETKF,
    LESTKF,
    LETKF,
    RTPP,
    RTPS,
    Boxcar,
    DEnKF,
    EnKF,
    EnsembleOI,
    Forgetting,
    GaspariCohn,
    Multiplicative,
    OptimalInterpolation,
    ThreeDVar,
    WeightGrid,
)  # fmt: skip
from oceankit.assimilation.inflation import Inflation
from oceankit.assimilation.localization import Localization
from oceankit.cli.inputs import ProblemError

__all__ = ["ENSEMBLE_METHODS", "INFLATION_KINDS", "bounds_of", "inflation_of", "localization_of", "method_of", "told"]

ENSEMBLE_METHODS = {
    "enkf": EnKF, "denkf": DEnKF, "etkf": ETKF, "estkf": ESTKF, "eakf": EAKF, "letkf": LETKF, "lestkf": LESTKF,
}  # fmt: skip
INFLATION_KINDS = {"multiplicative": Multiplicative, "forgetting": Forgetting, "rtps": RTPS, "rtpp": RTPP}
_SHAPES = {"gaspari_cohn": "Gaspari-Cohn", "gaussian": "Gaussian", "matern": "Matérn", "boxcar": "boxcar"}
_ERRORS = ("background_error_std", "length_scale", "depth_scale")
_STATED = "stated in the run file and not fitted to the observations"


def method_of(spec: Mapping[str, Any], ensemble: Any = None) -> Any:
    """The method that `assimilate` describes; ``ensemble`` is the static one of `ensemble_oi`.

    Raises
    ------
    ProblemError
        With the key that is to blame, where it is known.
    """
    name, bounds = spec["method"], bounds_of(spec)
    if name == "optimal_interpolation":
        more = ("time_scale", "covariance", "n_nearest")
        return OptimalInterpolation(**{k: spec[k] for k in (*_ERRORS, *more)}, bounds=bounds)
    if name == "three_d_var":
        return ThreeDVar(**{k: spec[k] for k in (*_ERRORS, "steps")}, bounds=bounds)
    shared: dict[str, Any] = {
        "localization": localization_of(spec["localization"]),
        "weight_grid": None if spec["weight_grid"] is None else WeightGrid(spec["weight_grid"]),
        "bounds": bounds,
    }
    if name == "ensemble_oi":
        return EnsembleOI(ensemble, scale=spec["scale"], **shared)
    return ENSEMBLE_METHODS[name](
        inflation=inflation_of(spec["inflation"]), rotate=spec["rotate"], rng=spec["seed"], **shared
    )


def bounds_of(spec: Mapping[str, Any]) -> tuple[float | None, float | None] | None:
    """Lowest and highest value as the library has them."""
    if spec["bounds"] is None:
        return None
    low, high = (None if b == "none" else b for b in spec["bounds"])
    return low, high


def localization_of(spec: Mapping[str, Any] | None) -> Localization | None:
    """How far an observation reaches."""
    if spec is None:
        return None
    if spec["kind"] == "boxcar":
        return Boxcar(spec["radius"], depth=spec["depth"], time=spec["time"])
    return GaspariCohn(spec["radius"], depth=spec["depth"], time=spec["time"], taper_on=spec["taper_on"])


def inflation_of(spec: Mapping[str, Any] | None) -> Inflation | None:
    """Spread given back."""
    if spec is None:
        return None
    try:
        return INFLATION_KINDS[spec["kind"]](spec["value"])
    except ValueError as error:
        # The library names its class and argument first.
        remedy = str(error).split(": ", 1)[-1]
        raise ProblemError(("inflation", "value"), f"is {spec['value']:g}; for {spec['kind']!r} {remedy}") from error


# ---- in print ---------------------------------------------------------------------------------------------------------


def told(spec: Mapping[str, Any], unit: str, members: int | None) -> str:
    """How the analysis was made, in sentences."""
    return " ".join(
        s for s in (_method(spec, unit, members), _screening(spec["observations"]), _bounds(spec, unit)) if s
    )


def _method(spec: Mapping[str, Any], unit: str, members: int | None) -> str:
    name = spec["method"]
    if name == "optimal_interpolation":
        near = (
            "all observations at once" if spec["n_nearest"] is None else f"the {spec['n_nearest']} nearest observations"
        )
        return (
            f"Optimal interpolation with {near}; background error {spec['background_error_std']:g}{unit}, correlation length "
            f"{spec['length_scale']:g} km ({_SHAPES[spec['covariance']]}), {_STATED}."
        )
    if name == "three_d_var":
        return (
            f"Three-dimensional variational analysis; background error {spec['background_error_std']:g}{unit}, correlation "
            f"length {spec['length_scale']:g} km through the water (diffusion in {spec['steps']} steps), {_STATED}."
        )
    reach = _reach(spec["localization"])
    if name == "ensemble_oi":
        scaled = "" if spec["scale"] == 1.0 else f", their covariance times {spec['scale']:g}"
        return f"Ensemble optimal interpolation: errors are those of a static ensemble of {members} members{scaled}; {reach}."
    more = [] if spec["inflation"] is None else [f"{_inflation(spec['inflation'])}"]
    if spec["rotate"]:
        more.append("a random rotation of the members follows")
    return f"{_print_name(name)} with {members} members, whose mean is shown; {'; '.join([reach, *more])}."


def _print_name(method: str) -> str:
    return ENSEMBLE_METHODS[method].__name__


def _reach(localization: Mapping[str, Any] | None) -> str:
    if localization is None:
        return "an observation reaches everything"
    limits = [f"{localization['radius']:g} km"]
    limits += [f"{localization['depth']:g} m of depth"] if localization["depth"] is not None else []
    limits += [f"{localization['time']:g} days"] if localization["time"] is not None else []
    return f"an observation reaches {' and '.join(limits)} ({_SHAPES[localization['kind']]})"


def _inflation(spec: Mapping[str, Any]) -> str:
    words = {
        "multiplicative": "anomalies times", "forgetting": "forgetting factor", "rtps": "relaxation to prior spread",
        "rtpp": "relaxation to prior perturbations",
    }  # fmt: skip
    return f"{words[spec['kind']]} {spec['value']:g}"


def _screening(spec: Mapping[str, Any]) -> str:
    parts = ["repeated ones left out"] if spec["duplicates"] else []
    check = spec["background_check"]
    if check is not None:
        limit = check["threshold"] or {"reject": 3.0, "k_factor": 2.0}[check["method"]]
        parts.append(
            f"those beyond {limit:g} standard deviations from the background rejected"
            if check["method"] == "reject"
            else f"errors of those far from the background enlarged (K = {limit:g})"
        )
    parts += [f"thinned to {spec['thin']['spacing']:g} km"] if spec["thin"] is not None else []
    parts += [f"averaged in cells of {spec['superob']['spacing']:g} km"] if spec["superob"] is not None else []
    return f"Observations: {', '.join(parts)}." if parts else ""


def _bounds(spec: Mapping[str, Any], unit: str) -> str:
    bounds = bounds_of(spec)
    if bounds is None:
        return ""
    low, high = bounds
    if low is None:
        return f"The analysis is kept at or below {high:g}{unit}."
    return f"The analysis is kept {f'at or above {low:g}' if high is None else f'between {low:g} and {high:g}'}{unit}."
