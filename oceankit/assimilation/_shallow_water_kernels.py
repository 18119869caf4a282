"""Shallow water on an Arakawa C grid: states (members, 3, y, x) of ssh, u and v, taken on in place.

``u[j, i]`` is on the east face of cell (j, i), ``v[j, i]`` on its north face, vorticity on its north-east corner. The rim of
the grid is land, so that loops may run over the whole of it as one line and need not ask where a row ends. They have few
arrays each, and neighbours are shifted views, not shifted indices: only so does LLVM find that it can take several at once.
"""

import numpy as np

from oceankit.numerics.compiling import kernel

__all__ = ["advance", "slopes"]


@kernel
def advance(states, basin, numbers, wind, coriolis, dt, steps):
    """Take each member on by so many steps of the Runge-Kutta scheme of fourth order."""
    shape = states.shape[1:]
    work = np.zeros((7, shape[1], shape[2]))
    slope, at, total = np.zeros(shape), np.zeros(shape), np.empty(shape)
    flat = slope.size
    s, a, t = slope.reshape(flat), at.reshape(flat), total.reshape(flat)
    for m in range(states.shape[0]):
        x = states[m].reshape(flat)
        for _ in range(steps):
            slopes(states[m], basin, numbers, wind, coriolis, work, slope)
            for k in range(flat):
                t[k] = x[k] + dt / 6.0 * s[k]
                a[k] = x[k] + 0.5 * dt * s[k]
            slopes(at, basin, numbers, wind, coriolis, work, slope)
            for k in range(flat):
                t[k] += dt / 3.0 * s[k]
                a[k] = x[k] + 0.5 * dt * s[k]
            slopes(at, basin, numbers, wind, coriolis, work, slope)
            for k in range(flat):
                t[k] += dt / 3.0 * s[k]
                a[k] = x[k] + dt * s[k]
            slopes(at, basin, numbers, wind, coriolis, work, slope)
            for k in range(flat):
                x[k] = t[k] + dt / 6.0 * s[k]


@kernel
def slopes(state, basin, numbers, wind, coriolis, work, out):
    """Time derivatives of one state, by the scheme of Sadourny (1975) that conserves energy.

    Parameters
    ----------
    state, out
        (3, y, x): ssh (m), u and v (m/s).
    basin
        (5, y, x): 1 where a cell, an east face, a north face is wet; what a corner's vorticity counts (1 in open water, at a
        coast 0 for free slip, 2 for no slip); wet cells around a corner.
    numbers
        dx, dy (m), gravity, reduced gravity (m/s2), depth (m), viscosity (m2/s), drag (1/s).
    wind
        (y, x): eastward stress over density (m2/s2) on east faces, zero where these are dry.
    coriolis
        (y, x): at corners (1/s).
    work
        (7, y, x): zero at first.
    """
    dx, dy, gravity, reduced, depth, viscosity, drag = numbers
    ratio = gravity / reduced
    nx, n = state.shape[2], state[0].size
    x, w, b, o = state.reshape(3, n), work.reshape(7, n), basin.reshape(5, n), out.reshape(3, n)
    eta, u, v = x[0], x[1], x[2]
    h, U, V, B, Z, q, P = w[0], w[1], w[2], w[3], w[4], w[5], w[6]
    wet, wet_u, wet_v, slip, around = b[0], b[1], b[2], b[3], b[4]
    _thickness(eta, wet, depth, ratio, h)
    _across_faces(h, u, wet_u, 1, U)
    _across_faces(h, v, wet_v, nx, V)
    _head(eta, u, v, gravity, viscosity / dx, viscosity / dy, nx, B)
    _vorticity(u, v, slip, 1.0 / dx, 1.0 / dy, nx, Z)
    _potential_vorticity(h, Z, around, coriolis.reshape(n), nx, q)
    _rise(U, V, wet, 1.0 / (ratio * dx), 1.0 / (ratio * dy), nx, o[0])
    _pushed(u, B, 1.0 / dx, drag, 1, o[1])
    _pushed(v, B, 1.0 / dy, drag, nx, o[2])
    _blown(h, wind.reshape(n), o[1])
    _at_corners(q, V, 1, P)
    _turned(P, Z, 0.25, -viscosity / dy, nx, wet_u, o[1])
    _at_corners(q, U, nx, P)
    _turned(P, Z, -0.25, viscosity / dx, 1, wet_v, o[2])


@kernel
def _thickness(eta, wet, depth, ratio, h):
    for k in range(h.size):
        h[k] = wet[k] * (depth + ratio * eta[k])


@kernel
def _across_faces(h, u, wet, shift, out):
    beyond = h[shift:]
    for k in range(beyond.size):
        out[k] = 0.5 * (h[k] + beyond[k]) * u[k] * wet[k]


@kernel
def _head(eta, u, v, gravity, along, across, nx, out):
    """Bernoulli's head less what viscosity takes of divergence: both push by their gradient."""
    eta, east, west, north, out = eta[nx:], u[nx:], u[nx - 1 :], v[nx:], out[nx:]
    for k in range(eta.size):
        a, b, c, d = east[k], west[k], north[k], v[k]
        out[k] = gravity * eta[k] + 0.25 * (a * a + b * b + c * c + d * d) - along * (a - b) - across * (c - d)


@kernel
def _vorticity(u, v, slip, along, across, nx, out):
    beyond_u, beyond_v = u[nx:], v[1:]
    for k in range(beyond_u.size):
        out[k] = slip[k] * (along * (beyond_v[k] - v[k]) - across * (beyond_u[k] - u[k]))


@kernel
def _potential_vorticity(h, Z, around, f, nx, out):
    """A corner's thickness is the mean of the wet cells around it; where there is none nothing flows."""
    east, north, both = h[1:], h[nx:], h[nx + 1 :]
    for k in range(both.size):
        out[k] = (f[k] + Z[k]) * around[k] / max(h[k] + east[k] + north[k] + both[k], 1e-3)


@kernel
def _rise(U, V, wet, along, across, nx, out):
    east, west, north, wet, out = U[nx:], U[nx - 1 :], V[nx:], wet[nx:], out[nx:]
    for k in range(east.size):
        out[k] = -wet[k] * (along * (east[k] - west[k]) + across * (north[k] - V[k]))


@kernel
def _pushed(u, B, along, drag, shift, out):
    beyond = B[shift:]
    for k in range(beyond.size):
        out[k] = along * (B[k] - beyond[k]) - drag * u[k]


@kernel
def _blown(h, wind, out):
    beyond = h[1:]
    for k in range(beyond.size):
        out[k] += 2.0 * wind[k] / max(h[k] + beyond[k], 1e-3)


@kernel
def _at_corners(q, V, shift, out):
    beyond = V[shift:]
    for k in range(beyond.size):
        out[k] = q[k] * (V[k] + beyond[k])


@kernel
def _turned(P, Z, share, viscous, back, wet, out):
    """The mean of both ends of a face of q times the flow across: the other component gets the same, the sign changed."""
    p, z, wet, out = P[back:], Z[back:], wet[back:], out[back:]
    for k in range(p.size):
        out[k] = wet[k] * (out[k] + share * (p[k] + P[k]) + viscous * (z[k] - Z[k]))
