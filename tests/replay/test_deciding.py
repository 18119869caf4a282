"""How likely a level must be for an alert: chosen by forecasts of years that the model had not seen."""

from functools import partial

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("torch", reason="needs the extra 'forecast'")
from replay.seas import sea, settings
from scipy.stats import norm

from oceankit.anomaly import climatology
from oceankit.replay import ReplayError
from oceankit.replay.deciding import decided
from oceankit.replay.normals import normal_on
from oceankit.replay.preparing import prepared

LEADS = range(1, 8)


class Seer:
    """Says what will be, with errors of its own and a spread."""

    reach = 30

    def __init__(self, field: xr.DataArray) -> None:
        self.until, self.whole = field["time"].values[-1], sea()
        self.said: dict[np.datetime64, tuple[np.ndarray, np.ndarray]] = {}

    def hindcast(self, known: xr.DataArray, period: tuple[str, str]) -> xr.Dataset:
        first, last = (np.datetime64(p) for p in period)
        assert first > self.until
        assert known["time"].values[-1].astype("M8[D]") == last
        assert known["time"].values[0].astype("M8[D]") <= first - self.reach
        starts = np.arange(first, last + 1)
        mean = np.stack([self.whole.sel(time=(starts + k).astype("M8[ns]")).values for k in LEADS], axis=1).astype(
            float
        )
        for day, values in zip(starts, mean, strict=True):
            values += np.random.default_rng(int(day.astype(int))).normal(size=values.shape)
            self.said[day] = values, np.full(values.shape, 1.5)
        dims = ("init_time", "lead_time", "lat", "lon")
        return xr.Dataset({"mean": (dims, mean), "std": (dims, np.full(mean.shape, 1.5))})


@pytest.fixture(scope="module")
def field():
    return sea().sel(time=slice("2001", "2005"))


@pytest.fixture(scope="module")
def normal(field):
    return partial(normal_on, climatology(field, period=(2001, 2005)))


def test_scores_are_those_of_counting_by_hand(field, normal, tmp_path, monkeypatch):
    monkeypatch.setattr("oceankit.replay.deciding._VALUES", 7 * 12 * 100)
    seers = []

    def trained(part):
        seers.append(Seer(part))
        return seers[-1]

    area = np.where(np.arange(12) == 0, 0, 1 / 11)
    given = settings(confidence=None)
    found = decided(field, given, normal, area, trained, tmp_path / "decision.json")
    (seer,) = seers
    mean, threshold = (a.values.reshape(len(field), 12)[:, 1:] for a in normal(field))
    severe = (field.values.reshape(len(field), 12)[:, 1:] - mean) / (threshold - mean)
    days = field["time"].values.astype("M8[D]")
    # A tenth of 11 cells of the same size is reached by two of them.
    reached = np.sort(severe, axis=1)[:, -2]
    counts = {c: np.zeros(3, int) for c in found.scores}
    assert str(min(seer.said)) == found.starts[0]
    assert str(max(seer.said)) == found.starts[1] == "2005-12-24"
    for day, (value, std) in seer.said.items():
        at = int((day - days[0]).astype(int))
        for level in range(1, 5):
            if reached[at] >= level:
                continue
            comes = (reached[at + 1 : at + 8] >= level).any()
            chances = []
            for k in LEADS:
                z = (value[k - 1].reshape(-1)[1:] - mean[at + k]) / (threshold - mean)[at + k]
                chance = norm.sf(level, z, std[k - 1].reshape(-1)[1:] / (threshold - mean)[at + k])
                chances.append(np.sort(chance)[-2])
            for c, row in counts.items():
                warned = max(chances) >= float(c)
                row += [warned and comes, not warned and comes, warned and not comes]
    assert found.scores == {c: tuple(row.tolist()) for c, row in counts.items()}
    index = {c: h / (h + m + f) for c, (h, m, f) in found.scores.items() if h}
    assert found.index == index[f"{found.confidence:g}"]
    assert found.confidence == max(float(c) for c, i in index.items() if i >= 0.95 * max(index.values()))
    assert 0.1 < found.confidence < 0.9
    # What was chosen stays.
    again = decided(field, given, normal, area, lambda part: pytest.fail("chosen anew"), tmp_path / "decision.json")
    assert again == found


def test_a_given_probability_is_taken(field, normal, tmp_path):
    found = decided(field, settings(confidence=0.3), normal, np.full(12, 1 / 12), Seer, tmp_path / "decision.json")
    assert (found.confidence, found.given, found.index) == (0.3, True, None)
    assert not (tmp_path / "decision.json").exists()


def test_a_short_training_period_is_refused(field, normal, tmp_path):
    with pytest.raises(ReplayError, match="too short to choose .*; give a confidence, such as 0.3"):
        decided(field[:1200], settings(confidence=None), normal, np.full(12, 1 / 12), Seer, tmp_path / "decision.json")


@pytest.mark.slow
def test_it_is_chosen_before_the_first_day(tmp_path):
    spoilt = sea()
    spoilt.values[spoilt["time"].dt.year.values > 2005] = 30.0
    given = settings(confidence=None)
    a, b = (prepared(f, given, tmp_path / n).decision for n, f in (("a", sea()), ("b", spoilt)))
    assert a == b
    assert not a.given
    assert a.learnt_until < a.starts[0] < "2006"
