"""Twin experiments: the basin of shallow water against analytic solutions and conservation laws, climatologies, runs."""

import numpy as np
import pytest
import xarray as xr

from oceankit.assimilation import EAKF, ETKF, LETKF, RTPS, EnKF, GaspariCohn, Multiplicative, twin
from oceankit.assimilation import _ensemble_core as core
from oceankit.assimilation import _shallow_water as water
from oceankit.assimilation import _shallow_water_kernels as kernels
from oceankit.assimilation import _twin_kernels as twin_kernels
from oceankit.numerics import threads


def closed(ny, nx):
    wet = np.zeros((ny, nx), bool)
    wet[1:-1, 1:-1] = True
    return wet


def basin(wet, *, calm=True, stress=0.05, f0=1e-4, beta=0.0, slip=0.0, **numbers):
    """A basin without friction, unless it is said."""
    given = {"viscosity": 0.0, "drag": 0.0} | numbers
    wind = None if calm else np.full(wet.shape, stress)
    return water.Basin(wet, water.Water(**given), stress=wind, f0=f0, beta=beta, slip=slip)


@pytest.fixture
def rough():
    """A state far from balance in the basin with the coast."""
    sea = water.double_gyre()
    rng = np.random.default_rng(3)
    state = rng.normal(size=(3, *sea.shape)) * np.array([0.1, 0.3, 0.3])[:, None, None] * (sea.masks[:3] > 0)
    return sea, state


def slopes(sea, state):
    out, work = np.zeros_like(state), np.zeros((7, *sea.shape))
    kernels.slopes(state, sea.masks, tuple(sea.water), sea.wind, sea.coriolis, work, out)
    return out


# ---- the kernel ---------------------------------------------------------------------------------------------------------


def reference(sea, state):
    """The same equations, cell by cell."""
    w = sea.water
    ny, nx = sea.shape
    wet, east, north, slip, _ = sea.masks
    eta, u, v = state
    h = wet * (w.depth + w.gravity / w.reduced * eta)
    out = np.zeros_like(state)
    U, V = np.zeros((ny, nx)), np.zeros((ny, nx))
    zeta, q, head, spreads = np.zeros((ny, nx)), np.zeros((ny, nx)), np.zeros((ny, nx)), np.zeros((ny, nx))
    for j in range(1, ny - 1):
        for i in range(1, nx - 1):
            U[j, i] = 0.5 * (h[j, i] + h[j, i + 1]) * u[j, i] * east[j, i]
            V[j, i] = 0.5 * (h[j, i] + h[j + 1, i]) * v[j, i] * north[j, i]
            kinetic = 0.25 * (u[j, i] ** 2 + u[j, i - 1] ** 2 + v[j, i] ** 2 + v[j - 1, i] ** 2)
            head[j, i] = w.gravity * eta[j, i] + kinetic
            spreads[j, i] = (u[j, i] - u[j, i - 1]) / w.dx + (v[j, i] - v[j - 1, i]) / w.dy
    for j in range(ny - 1):
        for i in range(nx - 1):
            zeta[j, i] = slip[j, i] * ((v[j, i + 1] - v[j, i]) / w.dx - (u[j + 1, i] - u[j, i]) / w.dy)
            four = wet[j : j + 2, i : i + 2] > 0
            if four.any():
                q[j, i] = (sea.coriolis[j, i] + zeta[j, i]) / h[j : j + 2, i : i + 2][four].mean()
    for j in range(1, ny - 1):
        for i in range(1, nx - 1):
            out[0, j, i] = -w.reduced / w.gravity * wet[j, i] * (
                (U[j, i] - U[j, i - 1]) / w.dx + (V[j, i] - V[j - 1, i]) / w.dy
            )  # fmt: skip
            if east[j, i]:
                turned = [q[n, i] * 0.5 * (V[n, i] + V[n, i + 1]) for n in (j - 1, j)]
                rubbed = (spreads[j, i + 1] - spreads[j, i]) / w.dx - (zeta[j, i] - zeta[j - 1, i]) / w.dy
                blown = sea.wind[j, i] / (0.5 * (h[j, i] + h[j, i + 1]))
                out[1, j, i] = np.mean(turned) - (head[j, i + 1] - head[j, i]) / w.dx + w.viscosity * rubbed + blown
                out[1, j, i] -= w.drag * u[j, i]
            if north[j, i]:
                turned = [q[j, n] * 0.5 * (U[j, n] + U[j + 1, n]) for n in (i - 1, i)]
                rubbed = (spreads[j + 1, i] - spreads[j, i]) / w.dy + (zeta[j, i] - zeta[j, i - 1]) / w.dx
                out[2, j, i] = -np.mean(turned) - (head[j + 1, i] - head[j, i]) / w.dy + w.viscosity * rubbed
                out[2, j, i] -= w.drag * v[j, i]
    return out


def test_the_kernel_is_the_equations(rough):
    sea, state = rough
    expected = reference(sea, state)
    scale = abs(expected).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(slopes(sea, state) / scale, expected / scale, atol=1e-13)
    plain, work = np.zeros_like(state), np.zeros((7, *sea.shape))
    kernels.slopes.py_func(state, sea.masks, tuple(sea.water), sea.wind, sea.coriolis, work, plain)
    np.testing.assert_array_equal(plain, slopes(sea, state))


def test_members_do_not_depend_on_threads_or_each_other(rough):
    sea, state = rough
    many = np.stack([state * k for k in np.linspace(0.1, 0.6, 9)])
    alone = many[4:5].copy()
    sea.advance(alone, 1200.0, 5)
    whole = many.copy()
    sea.advance(whole, 1200.0, 5)
    with threads.limit(1):
        sea.advance(many, 1200.0, 5)
    np.testing.assert_array_equal(whole, many)
    np.testing.assert_array_equal(whole[4:5], alone)


# ---- what must be kept --------------------------------------------------------------------------------------------------


def test_water_at_rest_stays_at_rest():
    sea = water.double_gyre()
    sea.wind[:] = 0.0
    state = np.zeros((1, 3, *sea.shape))
    sea.advance(state, water.STEP, 100)
    assert (state == 0.0).all()


def test_nothing_flows_through_the_coast_and_no_water_is_lost(rough):
    sea, state = rough
    state = state[None] * 0.5
    before = state[0, 0].sum()
    size = abs(state[0, 0]).sum()
    sea.advance(state, 1200.0, 500)
    assert np.isfinite(state).all()
    assert (state[0][sea.missing] == 0.0).all()
    assert abs(state[0, 0].sum() - before) < 1e-12 * size


def test_energy_changes_by_friction_and_time_step_alone(rough):
    """The scheme in space keeps it to rounding; the Runge-Kutta scheme loses it with the fourth power of the step, or faster."""
    rubbed, state = rough
    wet = rubbed.masks[0] > 0
    sea = basin(wet, beta=2e-11)
    change = slopes(sea, state)
    step = 1e-4
    rate = (sea.energy(state + step * change) - sea.energy(state - step * change)) / (2 * step)
    parts = sum(abs(sea.energy(state + s * np.roll(change, 7, axis=2)) - sea.energy(state)) for s in (step, -step))
    assert abs(rate) < 1e-6 * parts / (2 * step)
    start = np.stack([state[0] * 0.3, state[1] * 0.3, state[2] * 0.3])[None]
    lost = []
    for steps in (50, 100, 200):
        now = start.copy()
        sea.advance(now, 100_000.0 / steps, steps)
        lost.append(1.0 - sea.energy(now[0]) / sea.energy(start[0]))
    assert 0 < lost[2] < 1e-4
    assert lost[0] / lost[1] > 14
    assert lost[1] / lost[2] > 14
    sticky = basin(wet, viscosity=200.0, slip=2.0)
    change = slopes(sticky, state) - slopes(basin(wet, slip=2.0), state)
    assert (state[1] * change[1] + state[2] * change[2]).sum() < 0


@pytest.mark.parametrize("slip", [0.0, 2.0])
def test_viscosity_at_walls(slip):
    """A uniform current along two walls: free slip leaves it alone, no slip brakes it there as across half a cell."""
    sea = basin(closed(8, 30), viscosity=100.0, slip=slip, f0=0.0)
    state = np.zeros((3, 8, 30))
    state[1, 1:-1, 1:-2] = 0.1
    got = (slopes(sea, state) - slopes(basin(closed(8, 30), slip=slip, f0=0.0), state))[1, :, 15]
    wall = -100.0 * slip * 0.1 / 20e3**2
    np.testing.assert_allclose(got[1:-1], [wall, 0, 0, 0, 0, wall], atol=1e-22)


# ---- analytic solutions -------------------------------------------------------------------------------------------------


def test_a_standing_wave_has_the_period_of_theory():
    """The gravest seiche across a channel, without rotation: omega = k sqrt(g' H)."""
    sea = basin(closed(4, 62), f0=0.0)
    w = sea.water
    length = 60 * w.dx
    x = (np.arange(62) - 0.5) * w.dx
    state = np.zeros((1, 3, 4, 62))
    state[0, 0] = 1e-5 * np.cos(np.pi * x / length) * sea.masks[0]
    shape = np.cos(np.pi * x / length) * sea.masks[0]
    period = 2.0 * length / np.sqrt(w.reduced * w.depth)
    steps = 400
    series = []
    for _ in range(steps):
        series.append((state[0, 0] * shape).sum() / (shape**2).sum())
        sea.advance(state, period / steps, 1)
    np.testing.assert_allclose(series, 1e-5 * np.cos(2 * np.pi * np.arange(steps) / steps), atol=2e-8)
    assert (state[0, 2] == 0).all()


def test_a_kelvin_wave_runs_along_the_coast_on_its_right():
    sea = basin(closed(60, 162), dx=10e3, dy=10e3)
    w = sea.water
    speed = np.sqrt(w.reduced * w.depth)
    radius = speed / 1e-4
    y, x = (np.arange(60) - 0.5) * 10e3, (np.arange(162) - 0.5) * 10e3
    decay = np.exp(-y / radius)[:, None]

    def at(t, x):
        return 1e-4 * decay * np.exp(-(((x - 400e3 - speed * t) / 100e3) ** 2))

    state = np.zeros((1, 3, 60, 162))
    state[0, 0] = at(0.0, x) * sea.masks[0]
    state[0, 1] = w.gravity / speed * at(0.0, x + 5e3) * sea.masks[1]
    time = 600e3 / speed
    steps = int(time / 1000)
    sea.advance(state, time / steps, steps)
    expected = at(time, x) * sea.masks[0]
    assert np.abs(state[0, 0] - expected).max() < 0.04e-4
    np.testing.assert_allclose(x[state[0, 0, 1].argmax()], 1000e3, atol=10e3)


def test_a_step_adjusts_to_geostrophy():
    """Gill (1982, section 7.2): what is left of a step is a front as wide as the Rossby radius, and a jet along it."""
    sea = basin(closed(122, 152), dx=8e3, dy=8e3)
    w, small = sea.water, 1e-4
    radius = np.sqrt(w.reduced * w.depth) / 1e-4
    x = (np.arange(152) - 75.5) * 8e3
    state = np.zeros((1, 3, 122, 152))
    state[0, 0] = -small * np.sign(x) * sea.masks[0]
    day = 80
    sea.advance(state, 86400 / day, day)
    mean = np.zeros((3, 122, 152))
    for _ in range(2 * day):
        sea.advance(state, 86400 / day, 1)
        mean += state[0] / (2 * day)
    near = abs(x) < 250e3
    front = -small * np.sign(x) * (1 - np.exp(-abs(x) / radius))
    np.testing.assert_allclose(mean[0, 61, near], front[near], atol=0.06 * small)
    # v is on north faces, in the middle of the cell across the front.
    jet = -w.gravity * small / (1e-4 * radius) * np.exp(-abs(x) / radius)
    np.testing.assert_allclose(mean[2, 61, near], jet[near], atol=0.07 * abs(jet).max())


def test_a_basin_is_closed():
    with pytest.raises(ValueError, match="rim"):
        water.Basin(np.ones((5, 5), bool), water.Water())


# ---- climatologies ------------------------------------------------------------------------------------------------------


def test_climatology_of_lorenz96():
    """Mean 2.3 and standard deviation 3.6 of each variable (Lorenz and Emanuel 1998)."""
    found = twin.climatology("lorenz96", seed=1, samples=3000)
    assert float(found["mean"].mean()) == pytest.approx(2.34, abs=0.03)
    assert float(found["std"].mean()) == pytest.approx(3.64, abs=0.03)
    covariance = found["covariance"].values
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), found["std"])
    neighbours = [np.diagonal(np.roll(covariance, -k, axis=1)).mean() / 3.64**2 for k in (1, 2)]
    assert abs(neighbours[0]) < 0.1
    assert neighbours[1] < -0.2
    xr.testing.assert_identical(found, twin.climatology("lorenz96", seed=1, samples=3000))


def test_climatology_of_lorenz63():
    """Means of the three equations: <xy> = 8/3 <z> and <x^2> = <xy>; the usual <z> and standard deviations."""
    found = twin.climatology("lorenz63", seed=2, samples=20_000)
    x, y, z = found["states"].values.T
    assert z.mean() == pytest.approx(23.55, abs=0.15)
    assert (x * y).mean() == pytest.approx(8 / 3 * z.mean(), rel=0.02)
    assert (x * x).mean() == pytest.approx((x * y).mean(), rel=0.02)
    assert found["std"].values == pytest.approx([7.92, 9.01, 8.62], abs=0.15)


def test_climatology_of_the_basin():
    found = twin.climatology("shallow_water", seed=1, samples=20)
    assert "covariance" not in found
    assert found["mean"].sizes["variable"] == 3 * 2000
    assert set(found["field"].values) == {"ssh", "u", "v"}
    land = twin.MODELS["shallow_water"].missing.ravel()
    np.testing.assert_array_equal(np.isnan(found["std"].values), land)
    assert 0.01 < float(found["std"].where(found["field"] == "ssh").mean()) < 0.2
    assert float(found["x"].max()) == 990.0


# ---- runs ---------------------------------------------------------------------------------------------------------------


def test_ssh_alone_corrects_ssh_and_currents():
    """From climatological members, in 30 days; without observations the errors stay those of climatology."""
    given = {"cycles": 30, "seed": 1, "members": 16, "spin_up": 0}
    free = twin.run("shallow_water", None, **given)
    assert 0.5 < float(free.rmse_a.mean()) < 2.0
    np.testing.assert_array_equal(free.rmse_a, free.rmse_f)
    for method in (
        LETKF(localization=GaspariCohn(200.0), inflation=RTPS(0.6)),
        EAKF(localization=GaspariCohn(200.0), inflation=RTPS(0.6)),
    ):
        found = twin.run("shallow_water", method, **given)
        end = {"cycle": slice(20, None)}
        for name, share in (("ssh", 0.5), ("u", 0.75), ("v", 0.9)):
            ours, theirs = (d[f"rmse_a_{name}"].isel(end).mean() for d in (found, free))
            assert float(ours) < share * float(theirs), (method, name)
        assert found.rmse_a_u.attrs["units"] == "m s-1"
        assert found.climatological_std.dims == ("field",)
        parts = [(found[f"rmse_a_{n}"] / found.climatological_std.sel(field=n)) ** 2 for n in ("ssh", "u", "v")]
        counts = (~twin.MODELS["shallow_water"].missing).sum(axis=1)
        total = sum(p * c for p, c in zip(parts, counts, strict=True)) / counts.sum()
        np.testing.assert_allclose(found.rmse_a, np.sqrt(total))


def test_runs_repeat_and_do_not_depend_on_threads():
    method = LETKF(localization=GaspariCohn(200.0))
    given = {"cycles": 2, "seed": 4, "members": 5, "spin_up": 1}
    once = twin.run("shallow_water", method, **given)
    with threads.limit(1):
        xr.testing.assert_identical(once, twin.run("shallow_water", method, **given))


@pytest.mark.parametrize(
    "method",
    [ETKF(inflation=Multiplicative(1.02)), LETKF(localization=GaspariCohn(8.0)), EnKF(), ETKF(rotate=True)],
    ids=repr,
)
@pytest.mark.parametrize("name", ["lorenz63", "lorenz96"])
def test_the_order_of_what_is_drawn_is_kept(name, method):
    """To the bit what the plainest loop gives: published tables are compared with runs that draw in this order."""
    start, variance, error, steps, dt, step = {
        "lorenz63": (np.array([1.509, -1.531, 25.46]), 2.0, 2.0, 25, 0.01, twin_kernels.lorenz63),
        "lorenz96": (np.eye(1, 40)[0], 0.001, 1.0, 1, 0.05, twin_kernels.lorenz96),
    }[name]
    found = twin.run(name, method, cycles=4, seed=3, members=12, spin_up=3)
    rng = np.random.default_rng(3)
    own, n = rng.spawn(1)[0], start.size
    drawn = start + np.sqrt(variance) * rng.standard_normal((13, n))
    truth, ensemble = drawn[:1].copy(), drawn[1:].copy()
    places, error_std = twin.MODELS[name].places, np.full(n, np.sqrt(error))
    for cycle in range(-3, 4):
        step(truth, dt, steps)
        step(ensemble, dt, steps)
        value = truth[0] + error_std * rng.standard_normal(n)
        before = ensemble.mean(axis=0)
        seen = core.Modelled(np.ascontiguousarray(ensemble.T), value, error_std, places)
        method.analyse(ensemble[:, None, :], np.zeros((1, n), bool), places, seen, own)
        if cycle >= 0:
            assert float(found.rmse_f[cycle]) == np.sqrt(((before - truth[0]) ** 2).mean())
            assert float(found.rmse_a[cycle]) == np.sqrt(((ensemble.mean(axis=0) - truth[0]) ** 2).mean())
            assert float(found.spread_a[cycle]) == np.sqrt(ensemble.var(axis=0, ddof=1).mean())
    assert list(found.data_vars) == ["rmse_f", "rmse_a", "spread_a"]


def test_members_of_one():
    """Methods that correct a single state."""

    class Halfway:
        rng = None

        def analyse(self, state, missing, places, seen, rng=None):
            state += 0.5 * (seen.value - seen.hx[:, 0])

    found = twin.run("lorenz96", Halfway(), cycles=5, seed=1, members=1, spin_up=10)
    assert found.spread_a.isnull().all()
    assert float(found.rmse_a.mean()) < 4.0
    with pytest.raises(ValueError, match="members=1"):
        twin.run("lorenz96", ETKF(), cycles=5, seed=1, members=1)


# ---- as fields ----------------------------------------------------------------------------------------------------------


def test_the_basin_as_fields_is_the_model():
    times = np.array(["2000-01-01", "2000-01-02", "2000-01-03"], "M8[D]")
    basin = twin.shallow_water_basin(times=times, members=3, seed=2)
    assert basin.ensemble.ssh.dims == ("member", "y", "x")
    assert int(basin.ensemble.ssh.isnull().sum()) == 3 * int(twin.MODELS["shallow_water"].missing[0].sum())
    xr.testing.assert_equal(basin.model(basin.truth.isel(time=0), times[0], times[1]), basin.truth.isel(time=1))
    later = basin.model(basin.ensemble, times[0], times[1])
    states = np.nan_to_num(np.stack([basin.ensemble[n].values for n in ("ssh", "u", "v")], axis=1))
    model = twin.MODELS["shallow_water"]
    model.step(states, model.dt, model.steps)
    np.testing.assert_array_equal(np.nan_to_num(later.v.values), states[:, 2])
    assert later.time.values == times[1].astype("M8[ns]")
    half = basin.model(basin.ensemble.astype("f4"), times[0], times[1])
    assert half.ssh.dtype == np.float32
    letkf = LETKF(localization=GaspariCohn(200.0))
    today = basin.observations.isel(obs=basin.observations.time.values == times[1])
    analysis, said = letkf.assimilate(later, today)
    assert int(said.n_used) == today.sizes["obs"]
    assert abs(analysis.u - later.u).max() > 0
    innovation = basin.observations.value.values - basin.truth.ssh.sel(
        x=basin.observations.x, y=basin.observations.y, time=basin.observations.time
    )  # fmt: skip
    assert 0.02 < float(innovation.std()) < 0.04


def test_bad_times_of_the_basin_are_refused():
    basin = twin.shallow_water_basin(times=["2000-01-01", "2000-01-02"], members=2)
    for call, words in (
        (lambda: basin.model(basin.ensemble, np.datetime64("2000-01-01"), np.datetime64("2000-01-01T01")), "4800"),
        (lambda: basin.model(basin.ensemble.drop_vars("u"), np.datetime64("2000-01-01"), np.datetime64("2000-01-02")), "'u'"),
        (lambda: twin.shallow_water_basin(times=["2000-01-02", "2000-01-01"]), "increasing"),
        (lambda: twin.shallow_water_basin(times=["2000-01-02"]), "two times"),
        (lambda: twin.climatology("lorenz96", seed=1, samples=1), "samples=1"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            call()
