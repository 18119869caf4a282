"""A saved forecaster forecasts the same bits, a changed file is refused, a killed training ends with the same weights."""

import ast
import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch", reason="needs the extra 'forecast'")
safetensors_numpy = pytest.importorskip("safetensors.numpy", reason="needs the extra 'forecast'")

import oceankit.forecast  # noqa: E402
from oceankit.forecast import Forecaster  # noqa: E402
from oceankit.forecast._arrays import read_arrays, write_arrays  # noqa: E402


@pytest.fixture
def file(fitted, tmp_path) -> Path:
    fitted.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def weights(model: Forecaster) -> bytes:
    return b"".join(v.numpy().tobytes() for net in model._nets for v in net.state_dict().values())


# ---- saving -----------------------------------------------------------------------------------------------------------


def test_a_loaded_forecaster_gives_the_same_bits(fitted, lively, file):
    loaded = Forecaster.load(file)
    assert fitted.kept["mean"].values.any()
    xr.testing.assert_identical(loaded.predict(lively), fitted.predict(lively))
    period = ("2014", "2016")
    xr.testing.assert_identical(loaded.hindcast(lively, period=period), fitted.hindcast(lively, period=period))
    zero = [m.without_network().predict(lively) for m in (loaded, fitted)]
    xr.testing.assert_identical(*zero)
    xr.testing.assert_identical(loaded.kept, fitted.kept)
    assert asdict(loaded.settings) == asdict(fitted.settings)
    assert repr(loaded) == repr(fitted)


@pytest.mark.parametrize(
    ("steps", "shape", "options"),
    [
        (1200, (3,), {"freq": "h"}),
        (1300, (), {"freq": "D", "calendar": "noleap"}),
        (240, (2, 2), {}),
    ],
)
@pytest.mark.parametrize("local", [False, True])
def test_series_calendars_and_local_forecasters_are_saved_too(make_field, tmp_path, steps, shape, options, local):
    field = make_field(steps, shape, process="folding", **options)
    model = Forecaster(leads=(1, 3), local=local, epochs=1).fit(field)
    model._shares = np.ones_like(model._shares)
    model.save(tmp_path / "m")
    loaded = Forecaster.load(tmp_path / "m")
    xr.testing.assert_identical(loaded.predict(field), model.predict(field))
    if local and steps == 240:
        a, b = (m.localise(field + 1).predict(field + 1) for m in (loaded, model))
        xr.testing.assert_identical(a, b)
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


def test_forcings_and_fixed_thresholds_and_base_periods_are_saved(make_field, tmp_path):
    field, wind = make_field(240, (2,)), make_field(240, (), process="white").rename("wind")
    model = Forecaster(leads=(1, 2), epochs=1, event_threshold=16.0, climatology=("1985", "1994"))
    model.fit(field, forcings=wind)
    model._shares = np.ones_like(model._shares)
    model.save(tmp_path / "m")
    loaded = Forecaster.load(tmp_path / "m")
    init = field.isel(time=slice(0, 200))
    xr.testing.assert_identical(loaded.predict(init, forcings=wind), model.predict(init, forcings=wind))
    assert (loaded.predict(init, forcings=wind)["threshold"] == 16).all()
    with pytest.raises(ValueError, match="fitted with forcings"):
        loaded.predict(init)


def test_a_loaded_forecaster_refuses_other_grids_units_and_steps(lively, file):
    loaded = Forecaster.load(file)
    for change, message in (
        (lambda f: f.assign_attrs(units="K"), "init is in 'K', the forecast was fitted in 'degC'"),
        (lambda f: f.assign_coords(lon=f.lon + 1), "coordinate 'lon' differs"),
        (lambda f: f.isel(time=slice(0, None, 3)), "fitted on steps of 1 months"),
    ):
        with pytest.raises(ValueError, match=message):
            loaded.predict(change(lively))


def test_the_file_is_safetensors_with_a_json_header_and_no_pickle(file):
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert {"F64", "F32"} <= {v["dtype"] for k, v in header.items() if k != "__metadata__"}
    said = json.loads(header["__metadata__"]["oceankit"])
    assert said["header"]["model"]["leads"] == [1, 2, 4]
    assert b"pickle" not in data
    assert not data.startswith((b"PK", b"\x80"))


def test_nothing_in_the_room_unpickles():
    banned = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for source in Path(oceankit.forecast.__file__).parent.glob("*.py"):
        tree = ast.parse(source.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert not banned & {a.name.split(".")[0] for a in node.names}, source
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in banned, source
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = ast.unparse(node.func)
                assert called not in ("torch.load", "torch.save"), source
                assert not any(k.arg == "allow_pickle" for k in node.keywords), source
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "__import__"), source


# ---- files that are not what was written ------------------------------------------------------------------------------


def test_a_byte_changed_anywhere_is_refused(file):
    good = file.read_bytes()
    length = int.from_bytes(good[:8], "little")
    rng = np.random.default_rng(0)
    header = np.concatenate([np.arange(8), 8 + np.arange(0, length, 11)])
    payload = np.concatenate([rng.integers(8 + length, len(good), 150), [8 + length, len(good) - 1]])
    for place in (*header, *payload):
        bad = bytearray(good)
        bad[place] ^= 1
        file.write_bytes(bad)
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            Forecaster.load(file)
    file.write_bytes(good)
    Forecaster.load(file)


def test_a_header_that_was_rewritten_is_refused(file):
    data = file.read_bytes()
    for old, new in ((b"degC", b"degF"), (b"monthly" if b"monthly" in data else b"months", b"mouths")):
        assert old in data
        file.write_bytes(data.replace(old, new))
        with pytest.raises(ValueError, match="their hash differs"):
            Forecaster.load(file)


def test_a_file_cut_off_anywhere_is_refused(file):
    good = file.read_bytes()
    for size in (0, 1, 7, 8, 200, len(good) // 2, len(good) - 1):
        file.write_bytes(good[:size])
        with pytest.raises(ValueError, match="cannot be read as a model.*cut off or damaged"):
            Forecaster.load(file)
    file.write_bytes(good + b"more")
    with pytest.raises(ValueError, match="cut off or damaged"):
        Forecaster.load(file)


def test_files_of_other_kinds_are_refused(tmp_path, fitted):
    path = tmp_path / "other.safetensors"
    with pytest.raises(ValueError, match="there is no model file"):
        Forecaster.load(path)
    safetensors_numpy.save_file({"x": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="a safetensors file, but not a model of oceankit"):
        Forecaster.load(path)
    safetensors_numpy.save_file({"x": np.zeros(3)}, path, metadata={"oceankit": "[1, 2]"})
    with pytest.raises(ValueError, match="not a model of oceankit"):
        Forecaster.load(path)
    write_arrays(path, {"x": np.zeros(3)}, {"model": {}})
    with pytest.raises(ValueError, match="lacks a part of a forecaster"):
        Forecaster.load(path)
    fitted.save(path)
    arrays, header = read_arrays(path)
    del arrays["scale"]
    write_arrays(path, arrays, header)
    with pytest.raises(ValueError, match="lacks a part of a forecaster.*scale"):
        Forecaster.load(path)


def test_a_file_of_a_later_format_says_so(file):
    data = file.read_bytes()
    written = b'\\"format\\": 1'
    assert data.count(written) == 1
    file.write_bytes(data.replace(written, b'\\"format\\": 9'))
    with pytest.raises(ValueError, match="format 9, this oceankit reads format 1"):
        Forecaster.load(file)


def test_loading_a_pickle_runs_nothing(tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / "model.safetensors"
    for content in (pickle.dumps(Trap()), None):
        if content is None:
            torch.save({"x": Trap()}, path)
        else:
            path.write_bytes(content)
        with pytest.raises(ValueError, match="cannot be read as a model"):
            Forecaster.load(path)
        assert not (tmp_path / "sprung").exists()


def test_a_write_that_fails_leaves_the_old_file_and_no_scraps(file, fitted, monkeypatch):
    import os

    before = file.read_bytes()

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        fitted.save(file)
    monkeypatch.undo()
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]
    with pytest.raises(ValueError, match="the folder of .* does not exist; make it first"):
        fitted.save(file.parent / "nowhere" / "m")


# ---- resuming ---------------------------------------------------------------------------------------------------------

EPOCHS = 4


@pytest.fixture(scope="module")
def training(make_field):
    field = make_field(240, (3,), process="folding")
    return field, weights(Forecaster(leads=(1, 2), epochs=EPOCHS).fit(field))


class StopError(Exception):
    pass


def stop_after(epoch):
    def progress(done, *_):
        if done == epoch:
            raise StopError

    return progress


@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
def test_a_training_that_stopped_anywhere_goes_on_to_the_same_weights(training, tmp_path, epoch):
    field, expected = training
    path = tmp_path / "checkpoint"
    with pytest.raises(StopError):
        Forecaster(leads=(1, 2), epochs=EPOCHS).fit(field, checkpoint=path, progress=stop_after(epoch))
    assert path.exists() == (epoch > 1)
    told = []
    resumed = Forecaster(leads=(1, 2), epochs=EPOCHS)
    resumed.fit(field, checkpoint=path, progress=lambda done, *_: told.append(done))
    assert told == list(range(epoch, EPOCHS + 1))
    assert weights(resumed) == expected


def test_a_training_that_was_killed_goes_on_to_the_same_weights_and_the_same_file(training, tmp_path):
    field, expected = training
    np.save(tmp_path / "values.npy", field.values)
    script = tmp_path / "train.py"
    script.write_text(
        "import os, signal\n"
        "import numpy as np, torch, xarray as xr\n"
        "from oceankit.forecast import Forecaster\n"
        "torch.set_num_threads(1)\n"
        f"values = np.load({str(tmp_path / 'values.npy')!r})\n"
        "field = xr.DataArray(values, dims=('time', 'station'), name='sst', attrs={'units': 'degC'},\n"
        "    coords={'time': xr.date_range('1980-01-01', periods=len(values), freq='MS')})\n"
        "def kill(epoch, *_):\n"
        "    if epoch == 3:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        f"Forecaster(leads=(1, 2), epochs={EPOCHS}).fit(\n"
        f"    field, checkpoint={str(tmp_path / 'checkpoint')!r}, progress=kill)\n"
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, timeout=300, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    resumed = Forecaster(leads=(1, 2), epochs=EPOCHS).fit(field, checkpoint=tmp_path / "checkpoint")
    assert weights(resumed) == expected
    resumed.save(tmp_path / "resumed")
    Forecaster(leads=(1, 2), epochs=EPOCHS).fit(field).save(tmp_path / "straight")
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "straight").read_bytes()


def test_a_training_that_ended_early_is_not_trained_further(make_field, tmp_path):
    field = make_field(240, (3,), process="white")
    first = Forecaster(leads=(1,), epochs=30).fit(field, checkpoint=tmp_path / "c")
    assert len(first.history["scores"]) < 30
    told = []
    again = Forecaster(leads=(1,), epochs=30).fit(field, checkpoint=tmp_path / "c", progress=lambda *t: told.append(t))
    assert told == []
    assert weights(again) == weights(first)


def test_a_checkpoint_of_other_data_or_settings_is_refused(training, tmp_path):
    field, _ = training
    path = tmp_path / "c"
    Forecaster(leads=(1, 2), epochs=1).fit(field, checkpoint=path)
    with pytest.raises(ValueError, match="other training data; remove it to start anew"):
        Forecaster(leads=(1, 2), epochs=1).fit(field + 0.1 * field.isel(station=0), checkpoint=path)
    with pytest.raises(ValueError, match="other training data"):
        Forecaster(leads=(1, 3), epochs=1).fit(field, checkpoint=path)
    for other in ({"seed": 1}, {"epochs": 2}, {"width": 8}):
        with pytest.raises(ValueError, match="other settings.*give the same ones, or remove it"):
            Forecaster(leads=(1, 2), **{"epochs": 1, **other}).fit(field, checkpoint=path)


def test_a_damaged_checkpoint_is_refused(training, tmp_path):
    field, _ = training
    path = tmp_path / "c"
    Forecaster(leads=(1, 2), epochs=1).fit(field, checkpoint=path)
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(ValueError, match="cannot be read as a checkpoint.*cut off or damaged"):
        Forecaster(leads=(1, 2), epochs=1).fit(field, checkpoint=path)
    bad = bytearray(good)
    bad[-5] ^= 1
    path.write_bytes(bad)
    with pytest.raises(ValueError, match=r"hash differs.*do not use this checkpoint"):
        Forecaster(leads=(1, 2), epochs=1).fit(field, checkpoint=path)


def test_a_model_file_is_no_checkpoint_and_a_checkpoint_no_model(training, fitted, tmp_path):
    field, _ = training
    fitted.save(tmp_path / "model")
    with pytest.raises(ValueError, match="other training data"):
        Forecaster(leads=(1, 2), epochs=1).fit(field, checkpoint=tmp_path / "model")
    Forecaster(leads=(1, 2), epochs=1).fit(field, checkpoint=tmp_path / "c")
    with pytest.raises(ValueError, match="lacks a part of a forecaster"):
        Forecaster.load(tmp_path / "c")


def test_a_checkpoint_serves_a_training_with_a_validation_period_too(make_field, tmp_path):
    field = make_field(300, (3,), process="folding")
    train, later = field.isel(time=slice(0, 220)), field.isel(time=slice(220, 300))
    straight = Forecaster(leads=(1, 2), epochs=3).fit(train, later)
    with pytest.raises(StopError):
        Forecaster(leads=(1, 2), epochs=3).fit(train, later, checkpoint=tmp_path / "c", progress=stop_after(2))
    resumed = Forecaster(leads=(1, 2), epochs=3).fit(train, later, checkpoint=tmp_path / "c")
    assert weights(resumed) == weights(straight)
    xr.testing.assert_identical(resumed.kept, straight.kept)
