"""What each task of a job runs: ``python rank.py KIND FOLDER OPTIONS``; only the client's comes behind ``with``."""

import json
import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

from oceankit.cluster import launch, watch, watching


def place() -> dict[str, Any]:
    import threadpoolctl

    limits = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    return {"pid": os.getpid(), "node": os.environ.get("SLURMD_NODENAME"), "threads": limits}


def told(folder: Path, name: str, what: Any) -> None:
    (folder / f"{name}.part").write_bytes(pickle.dumps(what))
    (folder / f"{name}.part").rename(folder / f"{name}.pickle")


def main(kind: str, folder: Path, options: dict[str, Any]) -> None:
    watching._PATIENCE = options.get("patience", watching._PATIENCE)
    with launch(kind, **options["site"]) as client:
        from cluster import seas

        client.wait_for_workers(options["workers"], timeout=60)
        workers = client.scheduler_info(n_workers=-1)["workers"]
        told(folder, "started", {
            "client": place(), "scheduler": client.run_on_scheduler(place), "workers": list(client.run(place).values()),
            "address": client.scheduler.address, "limits": [w["memory_limit"] for w in workers.values()],
            "nthreads": [w["nthreads"] for w in workers.values()], "scratch": os.environ.get("NUMBA_CACHE_DIR"),
        })  # fmt: skip
        if options.get("then") == "fail":
            raise RuntimeError("the work cannot be done")
        if options.get("then") == "wait":
            time.sleep(600)
        if options.get("then") == "nothing":
            return
        log = folder / "log" if "pause" in options else None
        with watch(client) as seen:
            found = seas.results(seas.inputs(log, options.get("pause", 0.0)))
        told(folder, "results", found)
        told(folder, "seen", {name: getattr(seen, name) for name in ("workers", "tasks", "repeated", "lost")})


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
