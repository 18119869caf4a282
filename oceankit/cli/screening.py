"""Observations before they are assimilated: repeated, checked, thinned, averaged, as the run file asks."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr

from oceankit.observations import background_check, duplicates, superob, thin
from oceankit.observations.flags import usable

__all__ = ["counted", "screened"]


def screened(
    obs: xr.Dataset, spec: Mapping[str, Any], background: xr.DataArray, error: Any
) -> tuple[xr.Dataset, dict[str, int]]:
    """The table with what is asked for done to it, and how many observations that met.

    Parameters
    ----------
    spec
        The `observations` of a run file.
    error
        Standard deviation of the background's error, a number or along ``obs``; None: the spread of its members.

    Returns
    -------
    Dataset, dict
        The dict has ``n_offered`` and the numbers of what was asked for; nothing where nothing was.
    """
    asked = [spec[k] for k in ("background_check", "thin", "superob")]
    if not spec["duplicates"] and asked == [None, None, None]:
        return obs, {}
    counts = {"n_offered": obs.sizes["obs"], "n_flagged_before": int((~usable(obs)).sum())}
    if spec["duplicates"]:
        obs = duplicates(obs)
        counts["n_duplicates"] = int(obs.attrs["n_duplicates"])
    if spec["background_check"] is not None:
        check = spec["background_check"]
        obs = background_check(
            obs, background, threshold=check["threshold"], method=check["method"], background_error_std=error
        )
        names = ("n_rejected", "n_error_doubled", "n_not_checked")
        counts |= {n: int(obs.attrs[n]) for n in names if n in obs.attrs}
    if spec["thin"] is not None:
        obs = thin(obs, spec["thin"]["spacing"], **_limits(spec["thin"]))
        counts["n_thinned"] = int(obs.attrs["n_thinned"])
    if spec["superob"] is not None:
        counts["n_flagged"] = int((~usable(obs)).sum())
        obs = superob(obs, spec["superob"]["spacing"], **_limits(spec["superob"]))
        counts |= {"n_averaged": int(obs.attrs["n_averaged"]), "n_superobs": obs.sizes["obs"]}
        # The table says of itself how many it was made of.
        obs.attrs.pop("n_flagged", None)
        obs.attrs.pop("n_outside", None)
    return obs, counts


def _limits(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"time": None if spec["time"] is None else pd.Timedelta(days=spec["time"]), "depth": spec["depth"]}


def counted(counts: Mapping[str, int]) -> list[str]:
    """What became of the observations, in words; what is nothing is left out."""
    words = {
        "n_flagged_before": "flagged in the table",
        "n_duplicates": "repeated",
        "n_rejected": "rejected by the background check",
        "n_error_doubled": "with an error at least doubled by the background check",
        "n_thinned": "thinned out",
    }
    parts = [f"{counts[n]} {text}" for n, text in words.items() if counts.get(n)]
    if "n_superobs" in counts:
        parts.append(f"{counts['n_averaged']} averaged into {counts['n_superobs']}")
    return parts
