"""Rules that say where they come from, levels that are never guessed, alerts that rise at once and fall slowly."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from oceankit.products import alerts

START = np.datetime64("2024-08-01T00", "ns")
ZERO = "Somewhere gauge zero"


def hours(n: int, step: float = 1.0) -> np.ndarray:
    return START + (np.arange(n) * step * 3600e9).astype("timedelta64[ns]")


def series(values, *, units: str | None = "m", step: float = 1.0, **attrs) -> xr.DataArray:
    values = np.asarray(values)
    attrs = attrs | ({"units": units} if units is not None else {})
    return xr.DataArray(values, dims="time", coords={"time": hours(len(values), step)}, attrs=attrs)


@pytest.fixture(scope="module")
def stations():
    """Invented warning levels, for tests alone."""
    book = alerts.add_station(
        None, "A", levels={"blue": 6.6, "yellow": 6.9, "orange": 7.2, "red": 7.5}, datum=ZERO, source="a test", date="2024",
        lon=121.3, lat=28.1, names={"zh": "甲", "en": "A"},
    )  # fmt: skip
    return alerts.add_station(
        book, "B", levels={"blue": 300, "yellow": 330, "orange": 360, "red": 390}, datum="B zero", units="cm",
        source="a test", date="not stated", lon=122.0, lat=30.0,
    )  # fmt: skip


def numbers(value, key=""):
    """Every mapping in the rules that holds a number to compare with or to count by."""
    if isinstance(value, dict):
        if {"value", "at_least", "above", "at_most", "below", "is"} & set(value):
            yield key, value
        for name, inner in value.items():
            yield from numbers(inner, f"{key}.{name}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from numbers(inner, f"{key}[{i}]")


# --- rules -----------------------------------------------------------------------------------------------------------


def test_every_number_shipped_says_source_date_and_note():
    found = list(numbers(alerts.rules()))
    assert len(found) > 50
    for key, entry in found:
        assert entry["source"].strip(), key
        assert entry["date"] == "not stated" or entry["date"][:4].isdigit(), key
        assert entry["note"].strip(), key


def test_no_bare_number_stands_in_the_shipped_rules():
    """What is not in a sourced mapping is no threshold: the format, and nothing else."""

    def bare(value, key, sourced):
        if isinstance(value, dict):
            inside = sourced or {"source", "date"} <= set(value)
            for name, inner in value.items():
                yield from bare(inner, f"{key}.{name}", inside)
        elif isinstance(value, list):
            for inner in value:
                yield from bare(inner, key, sourced)
        elif isinstance(value, int | float) and not isinstance(value, bool) and not sourced:
            yield key

    assert list(bare(alerts.rules(), "", False)) == [".format"]


def test_the_quoted_thresholds_are_those_of_the_table():
    hazards = alerts.rules()["hazards"]

    def of(hazard, rule):
        return {k: v["value"] for k, v in hazards[hazard]["rules"][rule]["levels"].items()}

    assert of("near_shore_waves", "nmefc") == {"blue": 2.5, "yellow": 3.5, "orange": 4.5, "red": 6.0}
    assert of("offshore_waves", "nmefc") == {"yellow": 6, "orange": 9, "red": 14}
    assert of("near_shore_waves", "plan_2012") == {"yellow": 2.5, "orange": 4.0, "red": 6.0}


def test_superseded_rules_are_marked_and_never_the_default():
    hazards = alerts.rules()["hazards"]
    assert hazards["near_shore_waves"]["rules"]["plan_2012"]["superseded"] is True
    for hazard in hazards.values():
        assert hazard["rules"][hazard["default"]]["superseded"] is False
    assert int(alerts.assess("near_shore_waves", 2.6).level) == 1
    old = alerts.assess("near_shore_waves", 2.6, rule="plan_2012")
    assert (int(old.level), old.attrs["superseded"]) == (2, "true")


def test_what_is_ours_says_so():
    heatwave = alerts.assess("marine_heatwave", 3)
    assert int(heatwave.level) == 3
    assert "proposal" in heatwave.attrs["caution"]
    assert "not an official rule" in heatwave.attrs["caution"]
    assert all(s.startswith("oceankit proposal") for s in heatwave["threshold_source"].values)


def test_no_station_is_shipped():
    assert alerts.rules()["stations"] == {}
    with pytest.raises(ValueError, match="station 'Kanmen' is not in the rules.*ships no warning levels.*add_station"):
        alerts.assess("storm_surge", 7.0, station="Kanmen", datum="x")


def test_the_shipped_rules_are_a_copy():
    book = alerts.rules()
    book["hazards"]["near_shore_waves"]["rules"]["nmefc"]["levels"]["blue"]["value"] = 0.1
    assert int(alerts.assess("near_shore_waves", 1.0).level) == 0
    assert alerts.rules() != book


def test_rules_lie_over_the_shipped_ones_as_a_file_or_a_mapping(tmp_path):
    mine = {"extends": "oceankit", "decision": {"confidence": {"value": 0.2}}}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(mine), encoding="utf-8")
    for rules in (mine, file, str(file)):
        book = alerts.check_rules(rules)
        assert book["decision"]["confidence"]["value"] == 0.2
        assert book["decision"]["confidence"]["source"] == "oceankit"
        assert book["hazards"] == alerts.rules()["hazards"]
    assert mine["extends"] == "oceankit", "the mapping is not changed"


def test_complete_rules_need_no_shipped_ones(tmp_path):
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump(alerts.rules(), allow_unicode=True, sort_keys=False), encoding="utf-8")
    assert alerts.check_rules(file) == alerts.rules()


WAVES = ("hazards", "near_shore_waves")
NUMBERS = (*WAVES, "rules", "nmefc", "levels")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((*NUMBERS, "orange", "value"), 3.0, r"nmefc\.levels\.orange\.value: 3\.0 is not above yellow \(3\.5\)"),
        ((*NUMBERS, "orange", "value"), "4.5 m", r"levels\.orange\.value: '4\.5 m' is no finite number"),
        ((*NUMBERS, "orange", "value"), float("nan"), r"value: nan is no finite number"),
        ((*NUMBERS, "orange", "value"), True, r"value: True is no finite number"),
        ((*NUMBERS, "orange", "source"), "", r"levels\.orange\.source: empty; say where"),
        ((*NUMBERS, "orange", "source"), None, r"levels\.orange\.source: (missing; add it|empty)"),
        ((*NUMBERS, "orange", "date"), "lately", r"orange\.date: 'lately' is no date of a rule; write YYYY"),
        ((*NUMBERS, "orange"), 4.5, r"levels\.orange: 4\.5 is no mapping; it needs the keys value, source, date"),
        ((*NUMBERS, "purple"), {"value": 9, "source": "x", "date": "2020"}, r"levels\.purple: unknown level; take one of"),
        ((*NUMBERS, "orange", "vlaue"), 4, r"orange\.vlaue: unknown key; known here are value, source, date"),
        ((*WAVES, "quantity", "units"), "furlong", r"quantity\.units: 'furlong' is not understood; use 1, m, cm"),
        ((*WAVES, "quantity", "units"), None, r"quantity\.units: missing"),
        ((*WAVES, "kind"), "magic", r"near_shore_waves\.kind: 'magic' is unknown; take one of threshold"),
        ((*WAVES, "default"), "plan_2012", r"default: 'plan_2012' is superseded"),
        ((*WAVES, "default"), "nobody", r"default: 'nobody' is none of its rules; name one of nmefc"),
        ((*WAVES, "rules", "nmefc", "superseded"), "no!", r"superseded: 'no!'; write true or false"),
        ((*WAVES, "names", "zh"), "", r"near_shore_waves\.names\.zh: missing"),
        ((*WAVES, "names", "or so"), None, r"names\.or so: no language of zh, en; put a text with a comma in quotes"),
        ((*WAVES, "category"), "Sea", r"category: 'Sea' is none of CAP's"),
        (("levels", "red", "colour"), "red", r"levels\.red\.colour: 'red' is no colour"),
        (("levels", "red", "value"), 7, r"levels: the values \[1, 2, 3, 7\] must be 1, 2, 3"),
        (("levels", "red", "severity"), "Bad", r"levels\.red\.severity: 'Bad'"),
        (("decision", "confidence", "value"), 0, r"decision\.confidence\.value: 0 is no probability"),
        (("decision", "hold", "units"), "d", r"decision\.hold\.units: 'd' is not understood here; give it in hours"),
        (("decision", "hold", "value"), -1, r"decision\.hold\.value: -1 is negative"),
        (("hazard",), {}, r"hazard: unknown key; known here are format, levels"),
        (("format",), 2, r"format: 2 is not known here"),
        (("actions", "any", "red"), [{"who": "all"}], r"actions\.any\.red\[0\]\.what: missing"),
        (("actions", "tsunami"), {}, r"actions\.tsunami: no such hazard"),
        (("wording", "zh"), None, r"wording\.zh: missing"),
        (("hazards", "green_tide", "rules", "qingdao_2009", "levels", "red", "all"),
         [{"input": "colour", "is": "green", "source": "x", "date": "2009"}], r"all\[0\]\.input: 'colour' is none of the inputs"),
        (("hazards", "green_tide", "rules", "qingdao_2009", "levels", "red", "all"),
         [{"input": "place", "is": "the moon", "source": "x", "date": "2009"}], r"is: 'the moon' is none of the choices"),
        (("hazards", "green_tide", "rules", "qingdao_2009", "levels", "red", "all"),
         [{"input": "place", "at_least": 3, "source": "x", "date": "2009"}], r"compares 'place', which has choices"),
        (("stations", "X"), {"units": "m", "levels": {}}, r"stations\.X\.datum: missing"),
        (("stations", "X"), {"datum": "unknown", "units": "m", "levels": {"blue": {"value": 1, "source": "s", "date": "2000"}}},
         r"stations\.X\.datum: 'unknown' names no datum"),
        (("stations", "X"), {"datum": "z", "levels": {"blue": {"value": 1, "source": "s", "date": "2000"}}},
         r"stations\.X\.units: missing"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_rules_is_named_with_its_key_and_remedy(path, value, message):
    book = alerts.rules()
    inner = book
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(alerts.RulesError, match=message):
        alerts.check_rules(book)
    assert issubclass(alerts.RulesError, ValueError)


def test_all_mistakes_are_told_at_once():
    book = alerts.rules()
    book["hazards"]["sea_ice"]["category"] = "Ice"
    book["levels"]["red"]["colour"] = "red"
    with pytest.raises(ValueError, match=r"2 mistakes:\n  levels\.red\.colour.*\n  hazards\.sea_ice\.category"):
        alerts.check_rules(book)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: oceankit\nstations: {}\nstations: {}\n", "line 3: the key 'stations' is given twice"),
        ("a: [", "is no YAML"),
        ("- a\n", "holds a list; rules are a mapping"),
        ("extends: somebody\n", "extends: 'somebody' is unknown"),
        ("extends: oceankit\nlevels: !!python/object/apply:os.getcwd []\n", "is no YAML"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, text, message):
    file = tmp_path / "rules.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        alerts.check_rules(file)


def test_rules_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="rules is a int; give the path"):
        alerts.check_rules(3)


# --- levels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "level"),
    [(0, 0), (2.49, 0), (2.5, 1), (3.49, 1), (3.5, 2), (4.49, 2), (4.5, 3), (5.99, 3), (6.0, 4), (30, 4), (np.nan, -1)],
)
def test_near_shore_levels_at_their_bounds(height, level):
    assert int(alerts.assess("near_shore_waves", height).level) == level


@pytest.mark.parametrize(("height", "level"), [(5.99, 0), (6, 2), (8.99, 2), (9, 3), (13.99, 3), (14, 4)])
def test_offshore_waves_have_no_blue_level(height, level):
    found = alerts.assess("offshore_waves", height)
    assert int(found.level) == level
    assert found.alert_level.values.tolist() == ["yellow", "orange", "red"]


def test_the_result_describes_itself():
    found = alerts.assess("near_shore_waves", series([1.0, 3.0]))
    attrs = found.level.attrs
    assert attrs["flag_values"].tolist() == [-2, -1, 0, 1, 2, 3, 4]
    assert attrs["flag_meanings"] == "beyond_the_rules no_data none blue yellow orange red"
    assert found.level.dtype == np.int8
    assert found.threshold.values.tolist() == [2.5, 3.5, 4.5, 6.0]
    assert found.threshold.attrs["units"] == "m"
    assert "NMEFC" in str(found.threshold_source.sel(alert_level="red").item())
    assert "probability" not in found
    assert "confidence" not in found.attrs
    assert alerts.words(found.level).values.tolist() == ["none", "blue"]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("units", "factor"), [("m", 1), ("cm", 100), ("mm", 1000), ("metres", 1)])
def test_a_value_equal_to_its_threshold_reaches_it_in_any_units_and_precision(stations, dtype, units, factor):
    values = np.round(np.array([6.6, 6.9, 7.2, 7.5]) * factor, 6).astype(dtype)
    field = series(values, units=units, vertical_datum=ZERO)
    assert alerts.assess("storm_surge", field, station="A", rules=stations).level.values.tolist() == [1, 2, 3, 4]
    below = series((values * 0.9999).astype(dtype), units=units, vertical_datum=ZERO)
    assert alerts.assess("storm_surge", below, station="A", rules=stations).level.values.tolist() == [0, 1, 2, 3]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 40), min_size=2, max_size=8))
def test_a_higher_value_never_has_a_lower_level(values):
    values = np.sort(values)
    for hazard in ("near_shore_waves", "offshore_waves"):
        level = alerts.assess(hazard, xr.DataArray(values, dims="x", attrs={"units": "m"})).level.values
        assert (np.diff(level) >= 0).all()
        assert ((level >= 0) & (level <= 4)).all()


@pytest.mark.parametrize(
    ("field", "options", "message"),
    [
        (xr.DataArray([3.0]), {}, r"has no units; set .attrs\['units'\], for example to 'm', or give units="),
        (xr.DataArray([3.0], attrs={"units": "ft"}), {}, "is in 'ft', which is not understood; convert it to 'm'"),
        (xr.DataArray([3.0], attrs={"units": "km2"}), {}, "is in 'km2', but the rule is in 'm'"),
        (xr.DataArray([3.0], attrs={"units": "m"}), {"units": "cm"}, "says units 'm', but units='cm'"),
        (xr.DataArray(["high"], attrs={"units": "m"}), {}, "has dtype <U4; the rule compares numbers"),
        (xr.DataArray([np.inf, 1], attrs={"units": "m"}), {}, "has 1 infinite values; set them to NaN"),
        (xr.DataArray([1 + 2j], attrs={"units": "m"}), {}, "has dtype complex128"),
        (None, {}, "is None; give a number"),
        ("high", {}, "is 'high'; give a number"),
        ([1.0, 2.0], {}, r"is a bare array of shape \(2,\); give a DataArray"),
        (True, {}, "is True; give a number"),
        (3.0, {"units": "furlong"}, "is in 'furlong'"),
        (3.0, {"rule": "nobody"}, "rule='nobody' is no rule of near_shore_waves; it has 'nmefc', 'plan_2012'"),
        (3.0, {"confidence": 1.5}, "confidence=1.5 is no probability"),
        (3.0, {"confidence": 0}, "confidence=0 is no probability"),
        (3.0, {"station": "A"}, "station='A': near_shore_waves has no levels by station"),
        (3.0, {"datum": "A"}, "datum='A': near_shore_waves compares no heights"),
        (3.0, {"place": "bay"}, "place='bay': the rule 'nmefc' of near_shore_waves is the same everywhere"),
        (3.0, {"surge": 0.3}, "surge is given, but the rule 'nmefc' of near_shore_waves has no level for it"),
        (xr.Dataset({"a": 1.0, "b": 2.0}), {}, "has the variables 'a', 'b'; give one of them"),
        (xr.DataArray(np.zeros((0, 2)), dims=("member", "x"), attrs={"units": "m"}), {}, "has no members"),
    ],
)
def test_what_cannot_be_compared_is_refused(field, options, message):
    with pytest.raises(ValueError, match=message):
        alerts.assess("near_shore_waves", field, **options).compute()


def test_unknown_hazards_and_keywords_are_refused():
    with pytest.raises(ValueError, match="hazard='tsunami' is not in the rules; they have 'near_shore_waves'"):
        alerts.assess("tsunami", 3.0)
    with pytest.raises(TypeError, match="unexpected keywords \\['colour'\\]"):
        alerts.assess("near_shore_waves", 3.0, colour="red")


def test_a_number_takes_the_units_that_are_said():
    assert int(alerts.assess("near_shore_waves", 450, units="cm").level) == 3
    assert int(alerts.assess("sea_ice", 60 * 1.852, units="km", place="liaodong_bay").level) == 1


def test_sea_ice_goes_by_place():
    assert [
        int(alerts.assess("sea_ice", 26.0, place=p).level) for p in ("liaodong_bay", "north_yellow_sea", "laizhou_bay")
    ] == [0, 1, 0]
    assert "blue or higher" in alerts.assess("sea_ice", 26.0, place="laizhou_bay").attrs["caution"]
    with pytest.raises(ValueError, match="place=None: sea_ice needs one of 'liaodong_bay'"):
        alerts.assess("sea_ice", 26.0)


# --- forecasts -------------------------------------------------------------------------------------------------------


def forecast(mean, std, **attrs) -> xr.Dataset:
    mean = np.asarray(mean, dtype=np.float64)
    leads = np.arange(1, mean.shape[-1] + 1) * np.timedelta64(6, "h")
    dims = ("init_time", "lead_time")[-mean.ndim :]
    coords = {"lead_time": leads}
    init = START + np.arange(mean.shape[0]) * np.timedelta64(12, "h") if mean.ndim == 2 else START
    coords["init_time"] = ("init_time", init) if mean.ndim == 2 else init
    ds = xr.Dataset(
        {"mean": (dims, mean, {"units": "m"} | attrs), "std": (dims, np.broadcast_to(std, mean.shape))}, coords=coords
    )
    return ds.assign_coords(valid_time=ds.init_time + ds.lead_time)


def test_probabilities_are_those_of_the_normal_distribution():
    mean, std = np.array([2.0, 3.4, 5.0]), np.array([0.3, 0.9, 1.5])
    found = alerts.assess("near_shore_waves", forecast(mean, std))
    expected = stats.norm.sf(np.array([2.5, 3.5, 4.5, 6.0])[:, None], mean, std)
    got = found.probability.transpose("alert_level", "lead_time").values
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    np.testing.assert_array_equal(found.level, (expected >= 0.5).sum(axis=0))
    assert found.attrs["confidence"] == 0.5
    assert (np.diff(got, axis=0) <= 0).all(), "a higher level is never more probable"


def test_the_confidence_decides_and_is_inclusive():
    mean = forecast([4.5, 4.5, 4.5], [1.0, 0.2, 0.0])
    assert alerts.assess("near_shore_waves", mean).level.values.tolist() == [3, 3, 3]
    assert alerts.assess("near_shore_waves", mean, confidence=0.51).level.values.tolist() == [2, 2, 3]
    assert alerts.assess("near_shore_waves", mean, confidence=0.05).level.values.tolist() == [4, 3, 3]


def test_without_spread_the_mean_is_the_value():
    found = alerts.assess("near_shore_waves", forecast([4.49, 4.5], 0.0))
    assert found.probability.sel(alert_level="orange").values.tolist() == [0.0, 1.0]


def test_members_are_counted():
    members = xr.DataArray(np.linspace(3.0, 4.8, 10)[:, None] + [0.0, 3.0], dims=("member", "x"), attrs={"units": "m"})
    found = alerts.assess("near_shore_waves", members)
    counts = (members.values[:, :, None] >= [2.5, 3.5, 4.5, 6.0]).sum(axis=0) / 10
    np.testing.assert_array_equal(found.probability.transpose("x", "alert_level"), counts)
    assert found.level.values.tolist() == [2, 4]
    assert int(alerts.assess("near_shore_waves", members, confidence=0.7).level[0]) == (2 if counts[0, 1] >= 0.7 else 1)


def test_one_missing_member_leaves_the_level_unknown():
    members = xr.DataArray([5.0, 5.0, np.nan], dims="member", attrs={"units": "m"})
    assert int(alerts.assess("near_shore_waves", members).level) == -1
    assert int(alerts.assess("near_shore_waves", members.dropna("member")).level) == 3


@pytest.mark.parametrize(("mean", "std"), [(np.nan, 0.2), (3.0, np.nan)])
def test_missing_is_never_none(mean, std):
    found = alerts.assess("near_shore_waves", forecast([mean, 1.0], [std, 0.1]))
    assert found.level.values.tolist() == [-1, 0]
    assert np.isnan(found.probability.isel(lead_time=0)).all()


def test_a_bad_spread_is_refused():
    with pytest.raises(ValueError, match="std of the significant wave height has the value -0.1"):
        alerts.assess("near_shore_waves", forecast([3.0], [-0.1])).compute()
    wrong = forecast([3.0], [0.1])
    wrong["std"].attrs["units"] = "degC"
    with pytest.raises(ValueError, match="std of the significant wave height is in 'degC'"):
        alerts.assess("near_shore_waves", wrong)
    wrong["std"].attrs["units"] = "cm"
    assert alerts.assess("near_shore_waves", wrong * 1).level.size == 1


def test_lazy_in_lazy_out_and_the_same():
    rng = np.random.default_rng(1)
    field = xr.DataArray(
        rng.uniform(0, 8, (4, 6, 5)).astype("f4"),
        dims=("time", "lat", "lon"),
        coords={"time": hours(4)},
        attrs={"units": "m"},
    )
    eager, lazy = alerts.assess("near_shore_waves", field), alerts.assess("near_shore_waves", field.chunk(lat=2))
    assert lazy.level.chunks is not None
    xr.testing.assert_equal(lazy.level.compute(), eager.level)
    assert "status" not in lazy
    ds = xr.Dataset({"mean": field, "std": field * 0 + 0.3})
    xr.testing.assert_allclose(
        alerts.assess("near_shore_waves", ds.chunk(lon=3)).probability.compute(),
        alerts.assess("near_shore_waves", ds).probability,
    )
    bad = field.copy()
    bad[0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="infinite"):
        alerts.assess("near_shore_waves", bad.chunk(lat=2)).level.compute()


# --- storm surge -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attrs", "datum", "message"),
    [
        ({}, None, r"vertical datum of the water level for storm_surge is missing; set .attrs\['vertical_datum'\]"),
        ({"vertical_datum": "unknown"}, None, "is 'unknown'"),
        ({"vertical_datum": ""}, None, "is ''"),
        (
            {"vertical_datum": "mean sea level"},
            None,
            "above the datum 'mean sea level', its warning levels above 'Somewhere gauge zero'",
        ),
        ({"vertical_datum": ZERO.upper()}, None, "bring the water level to the same datum"),
        (
            {"vertical_datum": ZERO},
            "mean sea level",
            "says vertical_datum 'Somewhere gauge zero', but datum='mean sea level'",
        ),
        ({}, "mean sea level", "above the datum 'mean sea level'"),
    ],
)
def test_levels_are_compared_in_one_named_datum_only(stations, attrs, datum, message):
    with pytest.raises(ValueError, match=message):
        alerts.assess("storm_surge", series([7.0], **attrs), station="A", rules=stations, datum=datum)


def test_the_datum_may_be_said_where_it_is_missing(stations):
    found = alerts.assess("storm_surge", series([7.0]), station="A", rules=stations, datum=ZERO)
    assert found.attrs["vertical_datum"] == ZERO
    assert found.level.values.tolist() == [2]


def test_the_datum_of_a_forecast_is_that_of_its_mean_or_of_the_dataset(stations):
    one = forecast([7.3], 0.1, vertical_datum=ZERO)
    other = forecast([7.3], 0.1).assign_attrs(vertical_datum=ZERO)
    for ds in (one, other):
        assert alerts.assess("storm_surge", ds, station="A", rules=stations).level.values.tolist() == [3]


@pytest.mark.parametrize(
    ("water", "surge", "level"),
    [
        (6.59, None, 0), (6.59, 0.29, 0), (6.59, 0.3, 1), (6.0, 0.45, 1), (6.0, 0.61, 1), (6.9, 0.1, 2),
        (7.6, -0.5, 4), (6.7, np.nan, 1), (6.5, np.nan, -1), (np.nan, 0.4, -1), (1.1, 0.3, 1), (0.7, 0.3, 1),
    ],
)  # fmt: skip
def test_a_surge_below_the_blue_level_is_blue_too(stations, water, surge, level):
    found = alerts.assess("storm_surge", water, surge=surge, station="A", rules=stations, datum=ZERO)
    assert int(found.level) == level


def test_the_surge_rule_with_spread_is_exact(stations):
    """Water is tide plus surge, the tide is known: the chance of either is that of the nearer threshold."""
    water, surge, std = np.array([6.2, 6.5, 6.0]), np.array([0.2, 0.1, 0.5]), 0.2
    found = alerts.assess(
        "storm_surge", forecast(water, std, vertical_datum=ZERO), station="A", rules=stations,
        surge=xr.DataArray(surge, dims="lead_time", attrs={"units": "m"}),
    )  # fmt: skip
    nearer = np.minimum(6.6, water - surge + 0.3)
    np.testing.assert_allclose(found.probability.sel(alert_level="blue"), stats.norm.sf(nearer, water, std), rtol=1e-9)
    np.testing.assert_allclose(found.probability.sel(alert_level="yellow"), stats.norm.sf(6.9, water, std), rtol=1e-9)
    assert "surge of 0.3 m" in str(found.threshold_source.sel(alert_level="blue").item())
    assert found.threshold.sel(alert_level="blue") == 6.6


def test_the_surge_of_members_goes_with_them(stations):
    tide = 6.1
    surge = xr.DataArray([0.1, 0.25, 0.35, 0.6], dims="member", attrs={"units": "m"})
    water = (surge + tide).assign_attrs(units="m", vertical_datum=ZERO)
    found = alerts.assess("storm_surge", water, surge=surge, station="A", rules=stations)
    assert float(found.probability.sel(alert_level="blue")) == 0.5
    with pytest.raises(ValueError, match="the surge has members, the water level has none"):
        alerts.assess("storm_surge", 6.1, surge=surge, station="A", rules=stations, datum=ZERO)


def test_several_stations_each_with_its_own_levels_and_datum(stations):
    water = xr.DataArray(
        [[6.7, 7.6], [2.9, 3.7]], dims=("station", "time"), attrs={"units": "m"},
        coords={"station": ["A", "B"], "time": hours(2), "vertical_datum": ("station", [ZERO, "B zero"])},
    )  # fmt: skip
    found = alerts.assess("storm_surge", water, rules=stations)
    assert found.level.values.tolist() == [[1, 4], [0, 3]]
    assert found.threshold.sel(station="B").values.tolist() == [3.0, 3.3, 3.6, 3.9]
    assert found.lon.values.tolist() == [121.3, 122.0]
    with pytest.raises(ValueError, match="water level at 'B' is above the datum 'Somewhere gauge zero'"):
        alerts.assess("storm_surge", water.assign_coords(vertical_datum=("station", [ZERO, ZERO])), rules=stations)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": {"blue": 2.0, "red": 1.0}}, "red.value: 1.0 is not above blue"),
        ({"levels": {"green": 2.0}}, "green: unknown level"),
        ({"levels": {"red": 2.0, "blue": 1.0}}, "write them from the lowest to the highest"),
        ({"datum": "unknown"}, "datum: 'unknown' names no datum"),
        ({"source": " "}, "source: empty"),
        ({"date": "last year"}, "date: 'last year' is no date"),
        ({"units": "ft"}, "units: 'ft' is not understood"),
        ({"lat": 97.0}, "lat: 97.0 are no degrees"),
    ],
)
def test_a_station_with_a_mistake_is_refused(options, message):
    good = {"levels": {"blue": 1.0, "red": 2.0}, "datum": "z", "source": "s", "date": "2020"}
    with pytest.raises(ValueError, match=message):
        alerts.add_station(None, "X", **{**good, **options})


# --- green tide, red tide --------------------------------------------------------------------------------------------

NORTH, LINGSHAN, DAGONG = "35n_to_lingshan", "lingshan_to_dagong", "around_dagong"


@pytest.mark.parametrize(
    ("inputs", "level"),
    [
        ({"distribution_area": 5000, "coverage_area": 0, "place": "changjiang_to_35n"}, 1),
        ({"distribution_area": 4999, "coverage_area": 50, "place": "changjiang_to_35n"}, 1),
        ({"distribution_area": 4999, "coverage_area": 49, "place": "changjiang_to_35n"}, 0),
        ({"distribution_area": 1000, "coverage_area": 0, "place": NORTH, "days_to_shore": 20}, 2),
        ({"distribution_area": 1000, "coverage_area": 0, "place": NORTH, "days_to_shore": 20.1}, 0),
        ({"distribution_area": 0, "coverage_area": 5, "place": LINGSHAN, "days_to_shore": 15}, 3),
        ({"distribution_area": 499, "coverage_area": 4.9, "place": LINGSHAN, "days_to_shore": 15}, 0),
        ({"distribution_area": 50, "place": DAGONG, "days_to_shore": 7}, 4),
        ({"coverage_area": 0.5, "place": DAGONG, "days_to_shore": 7}, 4),
        ({"distribution_area": 9999, "coverage_area": 99, "place": "elsewhere", "days_to_shore": 1}, 0),
        # Unknown is not zero, and no level is guessed from it.
        ({"distribution_area": 49, "place": DAGONG, "days_to_shore": 7}, -1),
        ({"distribution_area": 60, "place": DAGONG}, -1),
        ({"distribution_area": 60, "place": DAGONG, "days_to_shore": np.nan}, -1),
        ({"distribution_area": 60, "days_to_shore": 3}, -1),
        ({"distribution_area": np.nan, "coverage_area": 0.6, "place": DAGONG, "days_to_shore": 3}, 4),
        ({"distribution_area": np.nan, "coverage_area": 0.4, "place": DAGONG, "days_to_shore": 3}, -1),
        ({"distribution_area": 60, "place": "", "days_to_shore": 3}, -1),
        ({"distribution_area": 1, "coverage_area": 0.1}, 0),
        ({"days_to_shore": 30}, -1),
    ],
)  # fmt: skip
def test_green_tide_needs_area_place_and_days_together(inputs, level):
    assert int(alerts.assess("green_tide", **inputs).level) == level


def test_green_tide_of_a_dataset_in_time():
    ds = xr.Dataset(
        {
            "distribution_area": ("time", [6e9, 1.2e9, 60e6], {"units": "m2"}),
            "place": ("time", ["changjiang_to_35n", NORTH, DAGONG]),
            "days_to_shore": ("time", np.array([40, 18, 6]).astype("timedelta64[D]").astype("timedelta64[ns]")),
        },
        coords={"time": hours(3, 240)},
    )
    found = alerts.assess("green_tide", ds)
    assert found.level.values.tolist() == [1, 2, 4]
    assert found.status.values.tolist() == [1, 2, 4]
    assert "Newer rules exist" in found.attrs["caution"]
    assert "2009" in str(found.threshold_date.sel(alert_level="red").item())


def test_members_of_a_green_tide_give_a_probability():
    area = xr.DataArray([40.0, 60.0, 70.0, 80.0], dims="member", attrs={"units": "km2"})
    found = alerts.assess(
        "green_tide", xr.Dataset({"distribution_area": area}), coverage_area=0.1, place=DAGONG, days_to_shore=5
    )
    assert found.probability.values.tolist() == [0.75] * 4
    assert int(found.level) == 4
    assert (
        int(
            alerts.assess(
                "green_tide",
                xr.Dataset({"distribution_area": area}),
                coverage_area=0.1,
                place=DAGONG,
                days_to_shore=5,
                confidence=0.8,
            ).level
        )
        == 0
    )


@pytest.mark.parametrize(
    ("inputs", "level"),
    [
        ({"area": 199.9, "toxic": True}, 1),
        ({"area": 200, "toxic": True}, -2),
        ({"area": 10, "toxic": False}, -2),
        ({"area": 0, "toxic": True}, 0),
        ({"area": 0}, 0),
        ({"area": 10}, -1),
        ({"toxic": True}, -1),
        ({"area": np.nan, "toxic": True}, -1),
    ],
)
def test_red_tide_says_where_the_found_rules_end(inputs, level):
    assert int(alerts.assess("red_tide", **inputs).level) == level


@pytest.mark.parametrize(
    ("given", "inputs", "message"),
    [
        (None, {}, "green_tide needs at least one of 'distribution_area'"),
        (None, {"place": "the moon"}, "place of green_tide is 'the moon', which is none of 'changjiang_to_35n'"),
        (None, {"coverage": 3}, "'coverage': no input of green_tide"),
        (None, {"coverage_area": -1}, "coverage_area of green_tide is -1; it cannot be negative"),
        (None, {"coverage_area": xr.DataArray(3.0)}, "coverage_area of green_tide has no units"),
        (None, {"coverage_area": xr.DataArray(3.0, attrs={"units": "m"})}, "is in 'm', but the rule is in 'km2'"),
        (3.0, {}, "green_tide was given a float; give a Dataset of distribution_area"),
        (xr.Dataset({"coverage_area": 3.0}), {"coverage_area": 3.0}, "is given in the Dataset and as a keyword"),
        (None, {"coverage_area": 3, "station": "A"}, "station='A' means nothing for green_tide"),
    ],
)
def test_green_tide_inputs_are_checked(given, inputs, message):
    with pytest.raises(ValueError, match=message):
        alerts.assess("green_tide", given, **inputs)


# --- following -------------------------------------------------------------------------------------------------------


def names_of(followed):
    return alerts.words(followed.action).values.tolist()


def test_up_at_once_down_after_the_hold():
    levels = series([0, 2, 3, 2, 2, 2, 0, 0, 0], units=None, step=6)
    followed, _ = alerts.follow(levels, hold=12)
    assert followed.status.values.tolist() == [0, 2, 3, 3, 3, 2, 2, 2, 0]
    assert names_of(followed) == ["keep", "issue", "upgrade", "keep", "keep", "downgrade", "keep", "keep", "lift"]


@pytest.mark.parametrize(("hold", "expected"), [(5.999, 2), (6, 2), (6.001, 3)])
def test_the_hold_counts_from_the_first_time_below_and_is_inclusive(hold, expected):
    followed, _ = alerts.follow(series([3, 2, 2], units=None, step=6), hold=hold)
    assert int(followed.status[-1]) == expected


def test_each_lower_level_has_its_own_clock():
    """Nothing above 1 for 12 h, nothing above 0 for 6 h: down to 1 now, and to 0 after 6 h more."""
    followed, _ = alerts.follow(series([4, 1, 0, 0, 0], units=None, step=6), hold=12)
    assert followed.status.values.tolist() == [4, 4, 4, 1, 0]


def test_a_return_before_the_hold_keeps_the_alert():
    followed, _ = alerts.follow(series([3, 0, 0, 3, 0, 0], units=None, step=6), hold=12)
    assert followed.status.values.tolist() == [3] * 6


def test_missing_data_never_end_an_alert():
    followed, _ = alerts.follow(series([-1, 0, 3, 1, -1, 1, -2, 1, 1, 1], units=None, step=6), hold=12)
    assert followed.status.values.tolist() == [-1, 0, 3, 3, 3, 3, 3, 3, 3, 1]
    assert names_of(followed)[:3] == ["keep", "keep", "issue"]


def test_the_default_hold_is_that_of_the_rules():
    levels = series([3, 1, 1, 1], units=None, step=6)
    assert alerts.follow(levels)[0].status.values.tolist() == [3, 3, 3, 1]
    mine = {"extends": "oceankit", "decision": {"hold": {"value": 6}}}
    assert alerts.follow(levels, rules=mine)[0].status.values.tolist() == [3, 3, 1, 1]


def test_a_clear_fall_below_the_margin_need_not_wait():
    """Orange ends at once below 4.5 - 0.3 m, to the level that even the lowered thresholds give."""
    found = alerts.assess("near_shore_waves", series([5.0, 4.3, 4.2, 4.19, 3.0, 2.1], step=1))
    assert found.level.values.tolist() == [3, 2, 2, 2, 1, 0]
    assert found.level_with_margin.values.tolist() == [3, 3, 3, 2, 1, 0]
    assert found.status.values.tolist() == [3, 3, 3, 2, 1, 0]
    assert names_of(found) == ["issue", "keep", "keep", "downgrade", "downgrade", "lift"]


def test_an_unknown_guard_does_not_end_an_alert():
    levels = series([3, 0], units=None)
    assert alerts.follow(levels, guard=levels.copy(data=[3, -1]), hold=12)[0].status.values.tolist() == [3, 3]
    assert alerts.follow(levels, guard=levels.copy(data=[3, 0]), hold=12)[0].status.values.tolist() == [3, 0]


def plain(levels, dates, hold):
    """The definition, written as slowly as it reads."""
    status, out = -1, []
    for i, level in enumerate(levels):
        if level >= 0:
            new = max(level, status)
            for k in range(status - 1, level - 1, -1):
                j = i
                while j > 0 and 0 <= levels[j - 1] <= k:
                    j -= 1
                if level <= k and dates[i] - dates[j] >= hold:
                    new = k
            status = new
        out.append(status)
    return out


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-2, 4), st.integers(1, 9)), min_size=1, max_size=25),
    st.integers(0, 20),
    st.lists(st.integers(0, 25), max_size=3),
)
def test_following_is_the_definition_however_it_is_cut(steps, hold, cuts):
    levels = np.array([s[0] for s in steps], np.int8)
    dates = START + np.cumsum([s[1] for s in steps]) * np.timedelta64(1, "h")
    whole = xr.DataArray(levels, dims="time", coords={"time": dates})
    followed, last = alerts.follow(whole, hold=hold)
    assert followed.status.values.tolist() == plain(levels.tolist(), dates, np.timedelta64(hold, "h"))
    state, pieces = None, []
    edges = sorted({0, len(steps), *(c for c in cuts if c <= len(steps))})
    for a, b in pairwise(edges):
        piece, state = alerts.follow(whole[a:b], hold=hold, state=state)
        pieces.append(piece)
    xr.testing.assert_identical(xr.concat(pieces, "time"), followed)
    xr.testing.assert_identical(state, last)
    # What was issued and what was lifted explain the status.
    before = np.concatenate([[0], np.maximum(followed.status.values[:-1], 0)])
    now = np.maximum(followed.status.values, 0)
    expected = [
        "keep" if a == b else "issue" if a == 0 else "lift" if b == 0 else "upgrade" if b > a else "downgrade"
        for a, b in zip(before, now, strict=True)
    ]
    assert names_of(followed) == expected


def test_places_are_followed_each_for_itself(tmp_path):
    rng = np.random.default_rng(3)
    levels = xr.DataArray(
        rng.integers(-1, 5, (12, 3, 2)).astype(np.int8), dims=("time", "lat", "lon"),
        coords={"time": hours(12, 3), "lat": [1.0, 2.0, 3.0], "lon": [5.0, 6.0]},
    )  # fmt: skip
    together, _ = alerts.follow(levels, hold=6)
    for i in range(3):
        alone, _ = alerts.follow(levels[:, i, 1], hold=6)
        np.testing.assert_array_equal(alone.status, together.status[:, i, 1])
    first, state = alerts.follow(levels[:5], hold=6)
    state.to_netcdf(tmp_path / "state.nc")
    with xr.open_dataset(tmp_path / "state.nc") as stored:
        rest, _ = alerts.follow(levels[5:].transpose("lon", "time", "lat"), hold=6, state=stored.load())
    np.testing.assert_array_equal(
        xr.concat([first, rest.transpose("time", "lat", "lon")], "time").status, together.status
    )


def test_an_assessed_series_goes_on_from_its_state():
    values = series([5.0, 4.4, 4.4, 4.4, 3.0, 4.6, 1.0], step=4)
    whole = alerts.assess("near_shore_waves", values)
    first = alerts.assess("near_shore_waves", values[:3])
    rest = alerts.assess("near_shore_waves", values[3:], state=alerts.state_of(first))
    assert [*first.status.values, *rest.status.values] == whole.status.values.tolist()
    assert [*names_of(first), *names_of(rest)] == names_of(whole)
    with pytest.raises(ValueError, match="the assessment is of no series"):
        alerts.state_of(alerts.assess("near_shore_waves", 3.0))


def test_successive_forecasts_are_followed_along_init_time():
    ds = forecast([[2.0, 4.6], [6.1, 3.0], [2.0, 2.0], [2.0, 2.0]], 0.0)
    found = alerts.assess("near_shore_waves", ds, hold=12)
    assert found.level.dims == ("init_time", "lead_time")
    assert found.status.dims == ("init_time",)
    assert found.status.values.tolist() == [3, 4, 0, 0]
    patient = {"extends": "oceankit", "hazards": {"near_shore_waves": {"margin": None}}}
    assert alerts.assess("near_shore_waves", ds, rules=patient).status.values.tolist() == [3, 4, 4, 0]


@pytest.mark.parametrize(
    ("levels", "options", "message"),
    [
        (xr.DataArray([0, 1], dims="x"), {}, r"have the dimensions \('x',\), none of issue times"),
        (xr.DataArray([0, 1], dims="time"), {}, "'time' of levels has no dates"),
        (xr.DataArray([0, 1], dims="time", coords={"time": hours(2)[::-1]}), {}, "do not increase"),
        (xr.DataArray([0, 1], dims="time", coords={"time": hours(1).repeat(2)}), {}, "do not increase"),
        (series([0, 7], units=None), {}, "must hold levels from 0 to 4"),
        (series([0, 0.5], units=None), {}, "must hold levels from 0 to 4"),
        (series([0, 1], units=None), {"hold": -1}, "hold=-1 must be hours from 0 up"),
        (series([0, 1], units=None), {"hold": np.timedelta64("NaT")}, "must be hours from 0 up"),
        (series([0, 1], units=None), {"state": xr.Dataset()}, "state lacks status"),
        ([0, 1], {}, "levels is a list; give a DataArray"),
    ],
)
def test_what_cannot_be_followed_is_refused(levels, options, message):
    with pytest.raises(ValueError, match=message):
        alerts.follow(levels, **options)


def test_a_state_of_something_else_is_refused():
    levels = series([0, 2, 3], units=None)
    _, state = alerts.follow(levels, hold=6)
    later = levels.assign_coords(time=levels.time + np.timedelta64(1, "D"))
    with pytest.raises(ValueError, match="state has gone on to"):
        alerts.follow(levels, hold=6, state=state)
    with pytest.raises(ValueError, match="made with a hold of 6 h"):
        alerts.follow(later, hold=7, state=state)
    with pytest.raises(ValueError, match="give those of the same places"):
        alerts.follow(later.expand_dims(x=2), hold=6, state=state)
    wide = later.expand_dims(x=[1, 2])
    _, state = alerts.follow(levels.expand_dims(x=[1, 3]), hold=6)
    with pytest.raises(ValueError, match="coordinate 'x' of the state is not that of the levels"):
        alerts.follow(wide, hold=6, state=state)


def test_nothing_new_changes_nothing():
    levels = series([0, 2, 3], units=None)
    _, state = alerts.follow(levels, hold=6)
    followed, after = alerts.follow(levels[:0], hold=6, state=copy.deepcopy(state))
    assert followed.status.size == 0
    xr.testing.assert_identical(after, state)


def test_words_need_flags():
    with pytest.raises(ValueError, match="has no flags"):
        alerts.words(xr.DataArray([1]))
    with pytest.raises(ValueError, match=r"has the values \[9\]"):
        alerts.words(xr.DataArray([9], attrs={"flag_values": [0], "flag_meanings": "none"}))
