"""What can be wrong with `replay` before anything is computed."""

from functools import partial

from oceankit._extras import require
from oceankit.cli._checking import Step
from oceankit.cli.inputs import Input
from oceankit.cli.replaying import settings_of

__all__ = ["check_replay"]


def check_replay(step: Step, data: Input | None) -> None:
    """Its settings by themselves, and against the days that there are; ``data`` is the input on its levels."""
    spec = step.step["replay"]
    if spec is None or not step.clean("replay"):
        return
    if step.step["assimilate"] is not None:
        step.wrong(("replay",), "needs a record in time, and 'assimilate' makes one field; give it a step of its own")
    for module, extra in (("torch", "forecast"), ("matplotlib", "plot")):
        step.attempt(("replay",), partial(require, module, extra=extra, purpose="'replay'"))
    settings = step.attempt(("replay",), lambda: settings_of(spec, ""))
    if settings is not None and data is not None:
        step.attempt(("replay",), lambda: settings.checked(data.field))
