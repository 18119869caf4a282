"""Every mistake in a run file is reported at once, on its line, with a remedy; and nothing is run."""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Call = Callable[..., Result]

MANY = """\
oceankit: 1
centr: me
steps:
  - name: a
    input: {paths: nowhere.nc, variable: sst}
    regrid: {to: {step: 0.7}, metod: conservative}
    product: out.txt
  - name: a
    input:
      paths: "nothing*.nc"
      variable: sst
      variable: tos
    regrid:
      to: {lon: [0, 360, 7], lat: [-90, 90, 3.3]}
      method: conservatve
      min_coverage: 2
    product: x.nc
  - name: c
    input: {paths: sst.nc, variable: sts, select: {time: 2015-13}}
    anomalies: {period: [2001-01, 2004-99], by: weeks}
    product: x.nc
  - name: d
    input: {paths: sst.nc, variable: sst}
    anomalies: {period: [1990-04, 2000-09], by: month}
    events: {box: {lon: [190, 240], lat: [-10, 10]}, min_duration: 5}
    figure: {kind: map, file: d.png}
"""
FOUND = [
    (2, "centr: no such key; did you mean 'centre'?"),
    (5, "steps.a.input.paths: there is no file 'nowhere.nc'"),
    (6, "steps.a.regrid.metod: no such key; did you mean 'method'?"),
    (6, "steps.a.regrid.to.step: lon=(0.0, 360.0, 0.7): a step of 0.7 does not divide 360"),
    (7, "steps.a.product.file: is 'out.txt', but must end in .nc or .zarr"),
    (8, "steps[2].name: 'a' is the name of two steps, the first on line 4"),
    (10, "steps[2].input.paths: no file matches 'nothing*.nc'"),
    (12, "steps[2].input.variable: is given twice, first on line 11"),
    (14, "steps[2].regrid.to.lat: lat=(-90.0, 90.0, 3.3): a step of 3.3 does not divide 180"),
    (14, "steps[2].regrid.to.lon: lon=(0.0, 360.0, 7.0): a step of 7 does not divide 360"),
    (15, "steps[2].regrid.method: 'conservatve' is not known (one of nearest, nearest_target, bilinear, bicubic, "),
    (16, "steps[2].regrid.min_coverage: is 2, but must be a number at least 0 and at most 1"),
    (19, "steps.c.input.select.time: is '2015-13', but must be a date"),
    (19, "steps.c.input.variable: the files have no variable 'sts'; did you mean 'sst'?"),
    (20, "steps.c.anomalies.by: 'weeks' is not known; known here: dayofyear, month"),
    (20, "steps.c.anomalies.period[2]: is '2004-99', but must be a date"),
    (21, "steps.c.product.file: 'x.nc' is written twice, first on line 17"),
    (24, "steps.d.anomalies.period: the base period 1990-04-01/2000-09-30 is not covered"),
    (25, "steps.d.events: has neither 'above' nor 'below'"),
    (26, "steps.d.figure: one time is shown, and 'sst' has 48, from 2001-01-15 to 2004-12-15"),
]


def lines_of(result: Result) -> list[tuple[int, str]]:
    found = [re.match(r".*run\.yaml:(\d+): (.*)", line) for line in result.stderr.splitlines()]
    return [(int(m[1]), m[2]) for m in found if m]


@pytest.mark.parametrize("arguments", [("--check",), ()])
def test_all_at_once_in_the_order_of_lines_and_nothing_is_run(oceankit: Call, folder: Path, arguments: tuple[str, ...]):
    before = sorted(folder.rglob("*"))
    result = oceankit(MANY, *arguments)
    assert result.exit_code == 1
    found = lines_of(result)
    assert [line for line, _ in found] == [line for line, _ in FOUND]
    for (_, message), (_, expected) in zip(found, FOUND, strict=True):
        assert message.startswith(expected)
    assert f"{len(FOUND)} mistakes; nothing was run" in result.stderr
    assert [p for p in sorted(folder.rglob("*")) if p.name != "run.yaml"] == before


STEP = """\
oceankit: 1
steps:
  - name: one
    input: {{paths: sst.nc, variable: sst, {select}}}
    {stages}
    product: out.nc
"""
SELECTS = [
    ("select: {tme: 2003}", "select.tme: 'sst' has no coordinate 'tme'; did you mean 'time'?"),
    ("select: {time: 2013-01}", "select.time: nothing of 'time' lies in '2013-01'; the files have 2001-01-15"),
    ("select: {lat: 2003-01}", "select.lat: is '2003-01', but 'lat' holds numbers, not dates"),
    ("select: {lat: 84}", "select.lat: nothing of 'lat' lies in 84.0; the files have -75.0 to 75.0"),
    ("select: {lon: [11, 14]}", "select.lon: nothing of 'lon' lies in [11.0, 14.0]"),
    ("select: {depth: 0}", "select.depth: the field 'sst' has no vertical coordinate"),
    ("select: 2003", "select: is '2003', but must be a mapping of coordinates"),
    ("real: maybe", "real: is 'maybe', but must be true or false"),
    ("engine:", "engine: is empty, but must be name"),
]
STAGES = [
    ("regrid: {method: bilinear}", "regrid: 'to' is missing: the grid that is wanted"),
    ("regrid: {to: {}}", "regrid.to: has none of them; give 'step', or 'lon' and 'lat', or 'like'"),
    ("regrid: {to: {step: 1, like: sst.nc}}", "regrid.to: has 'step' and 'like'; give"),
    ("regrid: {to: {lon: [0, 10, 1]}}", "regrid.to: has 'lon'; give"),
    ("regrid: {to: {lon: [0, 10], lat: [0, 10, 1]}}", "regrid.to.lon: has 2 items, but must be a list of 3 numbers"),
    ("regrid: {to: {like: gone.nc}}", "regrid.to.like: there is no file 'gone.nc'"),
    ("regrid: {to: {step: one}}", "regrid.to.step: is 'one', but must be a number above 0"),
    ("regrid: {to: {step: 10}, edges: latitude, min_coverage: '0.5'}", "regrid.min_coverage: is '0.5', but must be"),
    ("regrid: {to: {step: 10}, method: bilinear, limiter: barth_jespersen}", "regrid.limiter: is for method 'conservative2'"),
    ("regrid: {to: {step: 10}, creep_levels: 2}", "regrid.creep_levels: is for 'extrapolate: creep'"),
    ("regrid: {to: {step: 10}, extrapolate: nearest, skipna: false}", "regrid.extrapolate: fills what is missing, and"),
    ("regrid: {to: {step: 10}, extrapolate: creep, method: count}", "regrid.extrapolate: has nothing to fill: a count is 0"),
    ("regrid: {to: {step: 10}, power: 3}", "regrid.power: is for method 'idw'"),
    ("regrid: {to: {step: 10}, method: bicubic, edges: latitude}", "regrid.edges: 'latitude' is for method 'conservative'"),
    ("regrid: {to: {step: 10}, weights: sst.nc}", "regrid.weights: 'FOLDER/sst.nc' is no file of Regridder.save"),
    ("regrid: {to: {step: 10}, weights: weights}", "regrid.weights: is 'weights', but must end in .nc"),
    ("regrid: {to: {step: 10}, report: report.pdf}", "regrid.report: is 'report.pdf', but must end in .png"),
    ("regrid: {to: {step: 10}, report: out.nc.png, pole: north}", "regrid.pole: 'north' is not known"),
    ("levels: {depths: [0, 10]}", "levels: no variable of the dataset of 'sst.nc' has a vertical dimension"),
    ("levels: {depths: [-5]}", "levels.depths[1]: is -5, but must be a number at least 0"),
    ("levels: {depths: [0], edges: [0, 5]}", "levels: has 'depths' and 'edges'; give 'depths', or 'edges'"),
    ("levels: {edges: [0, 5]}", "levels.edges: are those of layers, for method 'conservative'"),
    ("levels: {edges: [0, 5], method: conservative, extrapolate: layer}", "levels.extrapolate: is for method 'linear'"),
    ("levels: {depths: [0], extrapolate: [none, none, layer]}", "levels.extrapolate: has 3 items, but must be"),
    ("assimilate: {background_error_std: 1, length_scale: 500, observations: {paths: obs.csv}}",
     "assimilate.observations.paths: there is no file 'obs.csv'"),
    ("assimilate: {background_error_std: 1, length_scale: 500, observations: {synthetic: {truth: {select: {time: 2003-01}}, "
     "error_std: 0.1}}}", "observations.synthetic: has neither 'tracks' nor 'points'"),
    ("assimilate: {background_error_std: 1, length_scale: 500, observations: {synthetic: {truth: {}, points: 9, "
     "error_std: 0.1}}}", "synthetic.truth: has {'time': 48}; observations are drawn from one field"),
    ("assimilate: {background_error_std: 1, length_scale: 500, observations: {synthetic: {truth: {select: {time: 1999}}, "
     "points: 9, error_std: 0.1}}}", "synthetic.truth.select.time: nothing of 'time' lies in '1999'"),
    ("anomalies: {period: [2001, 2002], by: month}", "anomalies.period: "),
    ("anomalies: {period: [2001, 2004], smooth: 30}", "anomalies.smooth: is 30, but a moving average needs an odd width"),
    ("events: {box: {lon: [190, 240], lat: [10, -10]}, above: 1, min_duration: 1}", "events.box.lat: is [10, -10]"),
    ("events: {box: {lon: [191, 192], lat: [1, 2]}, above: 1, min_duration: 1}", "events.box: holds no cell centre"),
    ("events: {box: {lon: [191, 192], lat: [1, 2]}, above: 1, min_duration: 0}", "events.min_duration: is 0, but must be"),
    ("figure: {kind: assimilation, file: a.png}", "figure.kind: 'assimilation' shows an assimilation; the step has no"),
    ("figure: {kind: series, file: a.png}", "figure.kind: 'series' shows the mean over the box of 'events'"),
    ("figure: {kind: map, show: increments, file: a.png, time: 2003-01}", "figure.show: 'increments' comes from 'assimilate'"),
    ("figure: {kind: map, file: a.png, time: 2003}", "figure.time: there are 12 times in '2003'"),
    ("figure: {kind: map, file: ../a.png, time: 2003-01}", "figure.file: is '../a.png'; outputs lie in the output folder"),
    ("figure: [{kind: map, file: a.png, time: 2003-01}, {kind: mop, file: b.png}]", "figure[2].kind: 'mop' is not known"),
    ("bulletin: {file: out.htm}", "bulletin.file: is 'out.htm', but must end in .html"),
    ("metadata: {licence: free}", "metadata.licence: no such key; did you mean 'license'?"),
]  # fmt: skip


@pytest.mark.parametrize(("select", "expected"), SELECTS)
def test_the_input(oceankit: Call, select: str, expected: str):
    ((line, message),) = lines_of(oceankit(STEP.format(select=select, stages="title: x"), "--check"))
    assert line == 4
    assert message.startswith("steps.one.input")
    assert expected in message


@pytest.mark.parametrize(("stages", "expected"), STAGES)
def test_the_stages(oceankit: Call, folder: Path, stages: str, expected: str):
    result = oceankit(STEP.format(select="real: true", stages=stages), "--check")
    assert result.exit_code == 1
    ((line, message), *_) = lines_of(result)
    assert line == 5
    assert expected in message.replace(str(folder), "FOLDER")


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("oceankit: 1\nsteps:\n  - name: [a\n", 4, "is no YAML: while parsing a flow sequence"),
        ("oceankit: 1\n\tsteps: 3\n", 2, "is no YAML"),
        ("", 1, "is empty"),
        ("- 1\n", 1, "is a list, but must be a mapping with the keys oceankit"),
        ("oceankit: 7\nsteps: []\n", 1, "oceankit: is 7, but this oceankit reads version 1"),
        ("oceankit: 1\nsteps: []\n", 2, "steps: has 0 items, but must be a list of step"),
        ("oceankit: 1\nsteps:\n  - 3\n", 3, "steps[1]: is '3', but must be a mapping with the keys name"),
        ("oceankit: 1\nsteps:\n  - name: a b\n    input: {paths: sst.nc, variable: sst}\n", 3, "steps.a b.name: is 'a b'; use"),
        ("oceankit: 1\nsteps:\n  - name: a\n    input: &i {<<: *i, variable: x}\n", 1, "an alias refers to a mapping"),
        ("oceankit: 1\nsteps:\n  - name: a\n    input: {<<: 3, paths: sst.nc, variable: sst}\n", 4, "'<<' merges '3'"),
        ("oceankit: 1\nsteps:\n  - name: a\n    input: {paths: sst.nc, variable: sst}\n", 3, "steps.a: writes nothing"),
        ("oceankit: 1\n---\noceankit: 1\n", 2, "is no YAML: expected a single document"),
    ],
)  # fmt: skip
def test_the_text(oceankit: Call, text: str, line: int, expected: str):
    result = oceankit(text, "--check")
    assert result.exit_code == 1
    found = lines_of(result)
    assert any(at == line and expected in message for at, message in found), found


def test_a_broken_step_does_not_hide_the_others(oceankit: Call):
    text = "oceankit: 1\nsteps:\n  - 3\n  - name: b\n    input: {paths: gone.nc, variable: sst}\n    product: b.nc\n"
    assert [line for line, _ in lines_of(oceankit(text, "--check"))] == [3, 5]


def test_a_product_does_not_take_the_place_of_its_input(oceankit: Call, folder: Path):
    text = (
        "oceankit: 1\noutput: .\nsteps:\n  - name: b\n    input: {paths: sst.nc, variable: sst}\n    product: sst.nc\n"
    )
    before = (folder / "sst.nc").read_bytes()
    ((line, message),) = lines_of(oceankit(text))
    assert line == 6
    assert "steps.b.product.file: would take the place of the input" in message
    assert (folder / "sst.nc").read_bytes() == before


def test_packages_that_are_not_there_are_named_with_their_remedy(oceankit: Call):
    text = STEP.replace("sst.nc, v", '"package:no_such_data/a.nc", v').format(select="real: true", stages="title: x")
    ((line, message),) = lines_of(oceankit(text))
    assert line == 4
    assert "the Python package 'no_such_data' is not installed; install it with: pip install no-such-data" in message


def test_a_table_of_observations_without_a_column_or_with_a_bad_value(oceankit: Call, folder: Path):
    stages = "assimilate: {background_error_std: 1, length_scale: 500, observations: {paths: obs.csv}}"
    for content, expected in (
        ("value,error,lon,lat\n1,1,5,5\n", "the header has no column 'error_std'; did you mean 'error'?"),
        ("value,error_std,lon,lat\n1,0,5,5\n", "error_std is 0 at obs 0"),
        ("value,error_std,lon,lat,time\n1,1,5,5,soon\n", "the time 'soon' in row 1 is no date"),
    ):
        (folder / "obs.csv").write_text(content)
        result = oceankit(STEP.format(select="select: {time: 2003-01}", stages=stages), "--check")
        ((line, message),) = lines_of(result)
        assert line == 5
        assert expected in message


def test_a_good_file_is_said_to_be_good_and_leaves_nothing(oceankit: Call, folder: Path):
    before = sorted(folder.rglob("*"))
    result = oceankit(STEP.format(select="real: true", stages="regrid: {to: {step: 20}}"), "--check")
    assert result.exit_code == 0, result.stderr
    assert "no mistakes; 1 step: one" in result.stdout
    assert [p for p in sorted(folder.rglob("*")) if p.name != "run.yaml"] == before


def test_shared_parts_by_anchors(oceankit: Call):
    text = textwrap.dedent("""\
        oceankit: 1
        steps:
          - name: a
            input: &sst {paths: sst.nc, variable: sst}
            product: a.nc
          - name: b
            input: {<<: *sst, variable: tos}
            product: b.nc
        """)
    assert lines_of(oceankit(text)) == [
        (7, "steps.b.input.variable: the files have no variable 'tos'; known here: sst")
    ]
