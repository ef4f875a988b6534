"""Log how long the stages of long work take."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

_logger = logging.getLogger(__name__)


@contextmanager
def timed(stage: str, **fields: str | int) -> Iterator[None]:
    """Log at level INFO how many seconds a stage took; log nothing if it fails.

    Args:
        stage: name of the stage.
        fields: details such as the collection. The log record carries them in its attribute
            ``fields``, together with ``stage`` and ``seconds``.
    """
    started = time.perf_counter()
    yield
    seconds = round(time.perf_counter() - started, 4)
    details = {"stage": stage, "seconds": seconds, **fields}
    _logger.info("%s took %.2f s", stage, seconds, extra={"fields": details})
