"""The sections of the run file that say which field is wanted."""

from oceankit.cli._types import Date, Either, Flag, Free, Key, Number, Path, Section, Several, Text

__all__ = ["INPUT", "MEMBERS", "SELECT"]

SELECT = Free(
    Either(
        Either(Date(), Number(), "a date or a number"),
        Several(Either(Date(), Number(), "a date or a number"), (2, 2)),
        "a date, a number, or a list of the first and last",
    ),
    "a mapping of coordinates to a value or [first, last]",
)
_ATTRS = Free(Text("text"), "a mapping of attributes to texts")
MEMBERS = Key(
    Text("name"),
    "of an ensemble: the dimension along which its members lie, where that is not called `member`; or `files`: each file is "
    "one member, in the order of `paths` (of a pattern in that of names). Members are numbered from 0 where they have no "
    "numbers",
)

INPUT = Section(
    "input",
    "The field to work on. Paths are relative to the run file; `package:NAME/path` lies inside the installed Python "
    "package NAME, and `*` stands for any name. Many files are joined along their coordinates.",
    {
        "paths": Key(Several(Path(), alone=True), "NetCDF, Zarr, GRIB or GeoTIFF", required=True),
        "variable": Key(Text("name"), "name of the field in the files", required=True),
        "members": MEMBERS,
        "select": Key(
            SELECT,
            "the part that is wanted, by `time`, `depth`, `lon`, `lat` or the name of a coordinate; a date means the whole "
            "month or year that it names",
        ),
        "attrs": Key(_ATTRS, "attributes of the variable to put right, for example `{units: degC}`"),
        "engine": Key(Text("name"), "xarray engine, where it is not found from the file"),
        "real": Key(
            Flag(),
            "whether the data are real (measured, or a model run of the actual ocean); `false` stamps the figures",
        ),
        "provenance_note": Key(Text(), "what the data are and where they come from, printed on figures and bulletins"),
    },
)
