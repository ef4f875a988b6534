"""A script that reads a store once for every line on stdin, each time in a forked child.

A damaged store can then kill the child only, and each child starts with the same imported modules.
The script prints one line per read: ``whole``, ``wrong: ...``, ``refused: <message>``,
``unexpected: ...``, or ``died of signal N``.
"""

import os
import sys
from contextlib import closing

from titles import COUNT, POINTS, VECTORS

from jobsearch.errors import JobSearchError
from jobsearch.store.embedded.store import EmbeddedStore


def read(path: str, alias: str) -> str:
    try:
        with closing(EmbeddedStore(path, lock_timeout_s=1)) as store:
            [hits] = store.query(alias, VECTORS[:1], limit=2 * COUNT)
            result = store.count(alias), len(hits), hits[0].id
    except JobSearchError as error:
        return f"refused: {error}"
    except BaseException as error:
        return f"unexpected: {error!r}"
    return "whole" if result == (COUNT, COUNT, POINTS.ids[0]) else f"wrong: {result}"


def main(path: str, alias: str) -> None:
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            print(" ".join(read(path, alias).split()), flush=True)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            print(f"died of signal {-code}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
