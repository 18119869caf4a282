"""Observation operators: what a field would look like to the instruments, H(x).

Each is a callable ``operator(field, observations)`` that gives the values of the field along ``obs`` and keeps its other
dimensions, such as ``member``; missing values are outside the field. Any of them is an ``hx=`` of an analysis.
"""

from oceankit.observations._axes import bracket, elapsed, place_of
from oceankit.observations.interpolation import Interp, places_of
from oceankit.observations.profiles import Profile
from oceankit.observations.superobservations import SuperOb
from oceankit.observations.tracks import AlongTrackSSH

__all__ = ["AlongTrackSSH", "Interp", "Profile", "SuperOb", "bracket", "elapsed", "place_of", "places_of"]
