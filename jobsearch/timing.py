"""How long the stages of long work took, for whoever collects logs."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

_logger = logging.getLogger(__name__)


@contextmanager
def timed(stage: str, **fields: str | int) -> Iterator[None]:
    """Log, at level INFO, how many seconds a stage took; nothing if it fails.

    Args:
        stage: its name.
        fields: what it worked on; attributes ``fields`` of the record, with ``stage`` and
            ``seconds``.
    """
    started = time.perf_counter()
    yield
    seconds = round(time.perf_counter() - started, 4)
    told = {"stage": stage, "seconds": seconds, **fields}
    _logger.info("%s took %.2f s", stage, seconds, extra={"fields": told})
