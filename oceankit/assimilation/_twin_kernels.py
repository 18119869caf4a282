"""Models of twin experiments: states (members, variables), taken on in place."""

import numpy as np

from oceankit.numerics.compiling import kernel

__all__ = ["lorenz63", "lorenz96"]


@kernel
def lorenz96(states, dt, steps):
    """Lorenz (1996) with F = 8, by the Runge-Kutta scheme of fourth order."""
    n = states.shape[1]
    a, b, c, d, x = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for m in range(states.shape[0]):
        state = states[m]
        for _ in range(steps):
            _slope96(state, a)
            for i in range(n):
                x[i] = state[i] + 0.5 * dt * a[i]
            _slope96(x, b)
            for i in range(n):
                x[i] = state[i] + 0.5 * dt * b[i]
            _slope96(x, c)
            for i in range(n):
                x[i] = state[i] + dt * c[i]
            _slope96(x, d)
            for i in range(n):
                state[i] += dt / 6.0 * (a[i] + 2.0 * b[i] + 2.0 * c[i] + d[i])


@kernel
def _slope96(x, out):
    n = x.size
    for i in range(n):
        out[i] = (x[(i + 1) % n] - x[i - 2]) * x[i - 1] - x[i] + 8.0


@kernel
def lorenz63(states, dt, steps):
    """Lorenz (1963) with its usual parameters, by the Runge-Kutta scheme of fourth order."""
    for m in range(states.shape[0]):
        x, y, z = states[m, 0], states[m, 1], states[m, 2]
        for _ in range(steps):
            ax, ay, az = _slope63(x, y, z)
            bx, by, bz = _slope63(x + 0.5 * dt * ax, y + 0.5 * dt * ay, z + 0.5 * dt * az)
            cx, cy, cz = _slope63(x + 0.5 * dt * bx, y + 0.5 * dt * by, z + 0.5 * dt * bz)
            dx, dy, dz = _slope63(x + dt * cx, y + dt * cy, z + dt * cz)
            x += dt / 6.0 * (ax + 2.0 * (bx + cx) + dx)
            y += dt / 6.0 * (ay + 2.0 * (by + cy) + dy)
            z += dt / 6.0 * (az + 2.0 * (bz + cz) + dz)
        states[m, 0], states[m, 1], states[m, 2] = x, y, z


@kernel
def _slope63(x, y, z):
    return 10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z
