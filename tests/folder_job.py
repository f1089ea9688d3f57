"""A run over a folder that notes what it computes; a script, to be killed.

``python tests/folder_job.py MODEL SOURCE OUT WORKERS LOG`` explains all recordings.  Each one that
a worker begins leaves a line "pid name" in the log.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from dftlrp.concepts import explain_many as module
from dftlrp.core.types import DftlrpError

PLAIN = module.make_clip_work


def make_logged(log, common):
    return partial(work_logged, log, PLAIN(common))


def work_logged(log, work, clip):
    with Path(log).open("a") as file:
        file.write(f"{os.getpid()} {clip.row['file']}\n")
    return work(clip)


def main(model, source, out, workers, log):
    module.make_clip_work = partial(make_logged, log)
    try:
        module.explain_many(model, source, folder=out, workers=int(workers), domains=["time"])
    except DftlrpError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
