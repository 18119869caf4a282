"""Mistakes in `assimilate` are told at the door, on their lines."""

import re
from collections.abc import Callable

import pytest
from click.testing import Result

Call = Callable[..., Result]

ENSEMBLE = "paths: ensemble.nc, variable: sst, members: number"
CONTROL = "paths: control.nc, variable: sst"
TABLE = "observations: {paths: obs.csv, units: degC, save: obs.nc}"
LOCAL = "localization: {radius: 400}"


OI = "background_error_std: 1\nlength_scale: 100"
WRONG = [
    (CONTROL, "method: letkv", 6, "'letkv' is not known (one of optimal_interpolation, three_d_var, ensemble_oi, enkf, "),
    (ENSEMBLE, "method: letkf", 5, "'localization' is missing, which 'letkf' needs: how far an observation reaches"),
    (ENSEMBLE, "method: etkf\nlength_scale: 5", 7, "is for 'optimal_interpolation' and 'three_d_var', not for 'etkf'"),
    (ENSEMBLE, "method: etkf\nensemble: {paths: years.nc}", 7, "ensemble: is for 'ensemble_oi', not for 'etkf'"),
    (ENSEMBLE, "method: etkf\nseed: 3", 7, "seed: has nothing to draw: 'etkf' draws with 'rotate: true' alone"),
    (ENSEMBLE, f"method: eakf\n{LOCAL}\nweight_grid: 2", 8, "weight_grid: is for the ensemble methods, not for 'eakf'"),
    (ENSEMBLE, "method: etkf\nweight_grid: 2", 7, "weight_grid: needs a 'localization'"),
    (ENSEMBLE, "method: etkf\nlocalization: {radius: 0}", 7, "localization.radius: is 0, but must be a number above 0"),
    (ENSEMBLE, "method: etkf\nlocalization: {kind: boxcar, radius: 9, taper_on: R}", 7, "is for kind 'gaspari_cohn'"),
    (ENSEMBLE, "method: etkf\nlocalization: {radius: 9, depth: 5}", 7, "depth: weighs by depth, and 'sst' has none"),
    (ENSEMBLE, "method: etkf\ninflation: {kind: rtps, value: 3}", 7, "value: is 3; for 'rtps' give a number between 0 and 1"),
    (ENSEMBLE, "method: etkf\ninflation: {value: 1}", 7, "inflation: 'kind' is missing"),
    (ENSEMBLE, "method: etkf\nbounds: [5, 3]", 7, "bounds: is [5, 3]; the first must be less than the second"),
    (ENSEMBLE, "method: etkf\nbounds: [none, none]", 7, "bounds: is [none, none], which bounds nothing"),
    (ENSEMBLE, "method: etkf\nsave_ensemble: out.nc", 7, "'out.nc' is written twice, first on line"),
    (ENSEMBLE, OI, 5, "'optimal_interpolation' corrects one field, and 'sst' has 8 members"),
    ("paths: ensemble.nc, variable: sst", "method: etkf", 4, "needs members, and 'sst' has the dimensions number, lat, lon"),
    ("paths: ensemble.nc, variable: sst, members: nmber", "method: etkf", 4, "'sst' has no dimension 'nmber'; did"),
    ("paths: [member_1.nc, years.nc], variable: sst, members: files", "method: etkf", 4, "years.nc' has {'time': 12, 'lat'"),
    ("paths: 'year_*.nc', variable: sst, members: files", "method: etkf", 4, "has other values of 'time' than"),
    ("paths: ensemble.nc, variable: sst, members: number, select: {member: 3}", "method: etkf", 4, "'etkf' needs members"),
    (CONTROL, "method: three_d_var\nlength_scale: 9", 5, "'background_error_std' is missing, which 'three_d_var'"),
    (CONTROL, f"method: three_d_var\n{OI}\nsteps: 5", 9, "steps: is 5; give an even number"),
    (CONTROL, f"method: three_d_var\n{OI}\ncovariance: matern", 9, "is for 'optimal_interpolation', not for 'three_d_var'"),
    (CONTROL, f"{OI}\ninflation: {{kind: rtps, value: 1}}", 8, "inflation: is for the ensemble methods, not for 'optimal_"),
    (CONTROL, f"{OI}\ntime_scale: 2", 8, "time_scale: asks for the time of the observations, which they do not have"),
    (CONTROL, "method: ensemble_oi", 5, "'ensemble' is missing, which 'ensemble_oi' needs"),
    (CONTROL, "method: ensemble_oi\nensemble: {paths: years.nc}", 7, "a static ensemble needs members, and 'sst' has the"),
    (CONTROL, "method: ensemble_oi\nensemble: {paths: gone.nc}", 7, "ensemble.paths: there is no file 'gone.nc'"),
    (CONTROL, "method: ensemble_oi\nensemble: {paths: years.nc, variable: sss, members: time}", 7, "no variable 'sss'"),
    (CONTROL, "method: ensemble_oi\nensemble: {paths: years.nc, members: time, select: {lat: [31, 33]}}", 7,
     "ensemble: has 2 values of 'lat', and the input 8; use 'select'"),
    (CONTROL, "method: ensemble_oi\nensemble: {paths: years.nc, members: time, select: {time: 1870}}", 7, "nothing of"),
]  # fmt: skip
OBSERVATIONS = [
    ("thin: {spacing: 9, time: 1}", "thin.time: asks for the time of the observations, which they do not have"),
    ("thin: 0", "thin.spacing: is 0, but must be a number above 0"),
    ("superob: {spacing: 5, depth: 3}", "superob.depth: asks for the depth of the observations"),
    (
        "background_check: {method: kfactor}",
        "background_check.method: 'kfactor' is not known (one of reject, k_factor)",
    ),
    ("background_check: 3", "background_check: is '3', but must be a mapping with the keys method, threshold"),
    ("duplicates: 2", "duplicates: is '2', but must be true or false"),
]


@pytest.mark.parametrize(("given", "spec", "line", "expected"), WRONG)
def test_mistakes_are_told_on_their_lines(assimilate: Call, given: str, spec: str, line: int, expected: str):
    result = assimilate(given, f"{spec}\n{TABLE}", "--check")
    assert result.exit_code == 1
    first = result.stderr.splitlines()[0]
    assert expected in first
    assert re.match(rf".*run\.yaml:{line}: steps\.one\.", first), first
    assert "1 mistake; nothing was run" in result.stderr


@pytest.mark.parametrize(("given", "expected"), OBSERVATIONS)
def test_mistakes_of_observations(assimilate: Call, given: str, expected: str):
    result = assimilate(CONTROL, f"{OI}\nobservations:\n  paths: obs.csv\n  units: degC\n  {given}", "--check")
    assert f"run.yaml:11: steps.one.assimilate.observations.{expected}" in result.stderr
    assert "1 mistake;" in result.stderr


def test_what_figures_cannot_show(assimilate: Call, oceankit: Call):
    figures = """\
    figure:
      - {kind: map, show: error_std, file: a.png}
      - {kind: diagnostics, cmap: balance, file: b.png}
"""
    result = assimilate(CONTROL, f"method: three_d_var\n{OI}\n{TABLE}", "--check", more=figures)
    assert "run.yaml:12: steps.one.figure[1].show: 'three_d_var' states no error of the analysis" in result.stderr
    assert "run.yaml:13: steps.one.figure[2].cmap: is not for 'diagnostics'" in result.stderr
    text = f"oceankit: 1\nsteps:\n  - name: a\n    input: {{{ENSEMBLE}}}\n    figure: {{kind: map, file: a.png}}\n"
    assert "steps.a.figure: wants one field, and 'sst' has 8 members" in oceankit(text, "--check").stderr
