"""One step of a run file while it is checked: where its keys are, and how mistakes are told."""

from collections.abc import Callable, Mapping
from typing import Any

from oceankit.cli._nodes import Place
from oceankit.cli.inputs import ProblemError
from oceankit.cli.reading import RunFile

__all__ = ["Step"]


class Step:
    """A step and its place in the run file."""

    def __init__(self, run: RunFile, place: Place, step: dict[str, Any], claimed: Mapping[str, Place]) -> None:
        self.run, self.place, self.step = run, place, step
        self.reading = run.reading
        self.claimed = claimed  # files that are written, and the keys that say so

    def given(self, *keys: str | int) -> bool:
        """Whether the run file itself has these keys."""
        return (*self.place, *keys) in self.reading.lines

    def clean(self, *keys: str | int) -> bool:
        """Whether nothing is wrong so far at these keys and under them."""
        return self.reading.clean((*self.place, *keys))

    def wrong(self, keys: Place, message: str) -> None:
        """Report a mistake."""
        self.reading.wrong((*self.place, *keys), message)

    def attempt(self, keys: Place, work: Callable[[], Any]) -> Any:
        """The result of ``work``, or its complaint at the key it blames."""
        try:
            return work()
        except ProblemError as problem:
            self.wrong((*keys, *problem.place), str(problem))
        except (ValueError, ImportError) as error:
            self.wrong(keys, str(error))
        return None
