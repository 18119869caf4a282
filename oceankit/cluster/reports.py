"""One page on what a run took: stages, files, and each worker's memory, bytes and losses."""

import html
import platform
from collections.abc import Sequence
from datetime import UTC, datetime

from dask.utils import format_bytes

from oceankit._version import __version__
from oceankit.cluster.sites import Site
from oceankit.cluster.watching import Watched

__all__ = ["page"]

_CSS = """
body { font: 14px/1.45 system-ui, sans-serif; color: #1c2a33; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem }
p { margin: .3rem 0 } table { border-collapse: collapse; width: 100% }
th { text-align: left; font-weight: 600; border-bottom: 1px solid #7d95a3 }
th, td { padding: .18rem .7rem .18rem 0; vertical-align: top } td { border-bottom: 1px solid #e3eaee }
.n { text-align: right; white-space: nowrap } .bar { background: #e3eaee; width: 9rem; height: .8rem }
.bar i { display: block; height: 100%; background: #2a7f9e } .bar i.high { background: #c4541a }
"""
_HIGH = 0.8  # of the limit; Dask pauses a worker there


def page(
    title: str,
    site: Site,
    stages: Sequence[tuple[str, str, float, str]],
    files: Sequence[tuple[str, str, int]],
    seen: Watched,
    seconds: float,
) -> str:
    """The page, as HTML that needs nothing else.

    Parameters
    ----------
    title
        Of the run.
    site
        Where it ran.
    stages
        Step, stage, seconds, and what it said of itself.
    files
        Step, file, bytes.
    seen
        What :func:`oceankit.cluster.watch` has seen.
    seconds
        Of the whole run.
    """
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    moved, spilled = (sum(w[key] for w in seen.workers) for key in ("received", "spilled"))
    facts = [
        f"{site.kind}, {len(seen.workers) - seen.lost} workers of {site.threads} thread{'s' * (site.threads != 1)}",
        f"{seconds:.1f} s",
        f"{format_bytes(sum(size for *_, size in files))} written",
        f"{format_bytes(moved)} moved between workers",
        f"{format_bytes(spilled)} spilled to disk",
        f"{seen.tasks} tasks, {seen.repeated} of them made again",
        f"{seen.lost} worker{'s' * (seen.lost != 1)} lost",
    ]
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{now}, oceankit {__version__}, Python {platform.python_version()}</p>",
        f"<p>{html.escape('; '.join(facts))}.</p>",
        _table("Stages", ("step", "stage", "seconds", ""), [(a, b, f"{s:.1f}", t) for a, b, s, t in stages], {2}),
        _table("Files", ("step", "file", "size"), [(a, b, format_bytes(n)) for a, b, n in files], {2}),
        _workers(seen),
    ]
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title><style>{_CSS}</style>'
        f"<body>{body}</body></html>\n"
    )


def _workers(seen: Watched) -> str:
    rows = []
    for worker in seen.workers:
        limit = worker["limit"] or 0
        share = worker["peak"] / limit if limit else 0.0
        bar = f'<div class="bar"><i class="{"high" * (share > _HIGH)}" style="width:{min(share, 1.0):.0%}"></i></div>'
        rows.append(
            [html.escape(worker["name"]), html.escape(str(worker["host"])), format_bytes(worker["peak"]),
             format_bytes(limit) if limit else "none", bar, format_bytes(worker["received"]), format_bytes(worker["spilled"]),
             str(worker["tasks"]), "lost" if worker["lost"] else ""]
        )  # fmt: skip
    header = ("worker", "host", "peak memory", "limit", "", "received", "spilled", "tasks", "")
    return _table("Workers", header, rows, {2, 3, 5, 6, 7}, escaped=True)


def _table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], right: set[int], *, escaped: bool = False
) -> str:
    def cell(tag: str, k: int, text: str) -> str:
        text = text if escaped and tag == "td" else html.escape(text)
        return f"<{tag}{' class=n' * (k in right)}>{text}</{tag}>"

    head = "".join(cell("th", k, text) for k, text in enumerate(header))
    body = "\n".join("<tr>" + "".join(cell("td", k, text) for k, text in enumerate(row)) + "</tr>" for row in rows)
    return f"<h2>{title}</h2>\n<table><tr>{head}</tr>\n{body}</table>"
