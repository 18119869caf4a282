"""The sections of the run file that put fields on other depths and other grids."""

from oceankit.cli._choices import EXTRAPOLATE, LEVELS_METHODS, LEVELS_OUTSIDE, LIMITERS, REGRID_METHODS
from oceankit.cli._types import Choice, Flag, Key, Number, Path, Section, Several, Text

__all__ = ["LEVELS", "REGRID", "TO"]

LEVELS = Section(
    "levels",
    "Put the field on other depths, before it goes to another grid: depths of terrain-following levels belong to the columns "
    "of the input. Where its levels are is found from the files: formula terms, layer thicknesses, fields of depths, or the "
    "axis itself.",
    {
        "depths": Key(Several(Number(least=0)), "of the levels that are wanted, in metres, positive down"),
        "edges": Key(
            Several(Number(), (2, 10**6)),
            "of the layers that are wanted, for `conservative`: one more than layers, in metres",
        ),
        "method": Key(
            Choice(LEVELS_METHODS),
            "`linear` between levels, or the mean over the layer: `conservative`",
            default="linear",
        ),
        "extrapolate": Key(
            Several(Choice((*LEVELS_OUTSIDE, "none")), (2, 2), alone=True),
            "for `linear`, what holds above the first and below the last level of a column, one word for both or "
            "[above, below]: the end value as far as its `layer` reaches or without limit (`nearest`), the `linear` "
            "continuation, or `none`; missing if left out",
        ),
        "dim": Key(Text("name"), "the vertical dimension, where names and attributes do not tell"),
        "skipna": Key(Flag(), "whether missing levels are left out; by default for `conservative` alone"),
        "min_coverage": Key(
            Number(least=0, most=1), "share of a layer that valid data must cover, for `conservative`", default=0.5
        ),
    },
    one_of=(("depths",), ("edges",)),
)
TO = Section(
    "regrid.to",
    "The grid that is wanted.",
    {
        "step": Key(Number(above=0), "the global regular grid of this many degrees"),
        "lon": Key(Several(Number(), (3, 3)), "west edge, east edge and step, in degrees"),
        "lat": Key(Several(Number(), (3, 3)), "south edge, north edge and step, in degrees"),
        "like": Key(Path(), "a file whose grid is taken"),
    },
    one_of=(("step",), ("lon", "lat"), ("like",)),
)
REGRID = Section(
    "regrid",
    "Put the field on another grid.",
    {
        "to": Key(TO, "the grid that is wanted", required=True),
        "method": Key(
            Choice(REGRID_METHODS),
            "how; `conservative` and `conservative2` keep integrals, `mean` and those after it bin places into cells; see "
            "[the guide](regridding.md)",
            default="bilinear",
        ),
        "min_coverage": Key(
            Number(least=0, most=1), "share of a cell that valid data must cover for it to get a value", default=0.5
        ),
        "skipna": Key(Flag(), "leave missing data out and weight the rest up", default=True),
        "extrapolate": Key(Choice(EXTRAPOLATE), "what fills cells without a value; they stay missing if left out"),
        "creep_levels": Key(Number(least=1, whole=True), "rings of cells that `creep` fills; all if left out"),
        "neighbours": Key(
            Number(least=1, whole=True), "cells used by `idw` and by extrapolation with `inverse_distance`", default=8
        ),
        "power": Key(Number(above=0), "of the distance, for the same", default=2.0),
        "limiter": Key(Choice(LIMITERS), "for `conservative2`: no value beyond those of neighbouring cells"),
        "edges": Key(
            Choice(("great_circle", "latitude")), "edges of cells, for `conservative`", default="great_circle"
        ),
        "periodic": Key(Flag(), "whether the input closes in longitude; found from its grid if left out"),
        "pole": Key(
            Choice(("mean", "none")),
            "close a polar cap by the mean of the last row, for `bilinear` and `bicubic`",
            default="mean",
        ),
        "weights": Key(
            Path((".nc",)),
            "where the weights are kept, relative to the run file: written by the first run, read by those after it, and "
            "refused where the grids or the options are others",
        ),
        "report": Key(
            Path((".png",), output=True),
            "a map of what becomes of each cell, at the first time and level: mapped, covered too little, outside",
        ),
    },
)
