"""What can be wrong with `heatwaves`, and with maps of their categories, before anything is computed."""

from oceankit.anomaly import heatwave_days
from oceankit.cli._checking import Step
from oceankit.cli._nodes import Place
from oceankit.cli.heatwaves import keywords_of
from oceankit.cli.inputs import Input
from oceankit.cli.work import in_one_piece, normal_of

__all__ = ["check_category", "check_heatwaves"]


def check_heatwaves(step: Step, data: Input | None) -> None:
    """Whether there is a climatology by day of the year, of a daily field, and whether both fit the options."""
    spec, base = step.step["heatwaves"], step.step["anomalies"]
    if spec is None:
        return
    if base is None:
        if not step.given("anomalies"):
            step.wrong(("heatwaves",), "needs the climatology of 'anomalies', which the step does not have")
        return
    if base["by"] == "month":
        step.wrong(("heatwaves",), "needs a threshold for each day, and 'anomalies' has 'by: month'; take dayofyear")
    if data is None or not step.clean("anomalies") or not step.clean("heatwaves"):
        return
    if data.cadence != "days":
        step.wrong(
            ("heatwaves",), f"needs a daily field, and the steps of {data.variable!r} are not days; give daily means"
        )
        return
    whole = in_one_piece(data.field)
    try:
        heatwave_days(whole, normal_of(whole, base), **keywords_of(spec))
    except ValueError as error:
        contradicted = step.given("heatwaves", "cold") and "cold" in str(error).split(":")[0]
        step.wrong(("heatwaves", "cold") if contradicted else ("heatwaves",), str(error))


def check_category(step: Step, keys: Place, kind: str) -> None:
    """Whether a figure of categories is a map, and in the colours that categories have."""
    if kind != "map":
        step.wrong((*keys, "show"), f"'category' is for 'map', and the kind is {kind!r}; leave it out")
    for key in ("units", "cmap", "limits", "levels"):
        if step.given(*keys, key):
            step.wrong((*keys, key), "is not for 'category', whose colours are those of the categories; leave it out")
