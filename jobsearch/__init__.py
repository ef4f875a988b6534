"""Match job titles across languages: embed, store in Qdrant, search, evaluate.

``jobsearch.open`` is the front door (:mod:`jobsearch.api`). Its names are imported when they are
first used, so ``import jobsearch`` is cheap.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eval.evaluation import read_evaluation as read_evaluation
    from ingest.sources import EscoSource as EscoSource
    from ingest.sources import SampleSource as SampleSource
    from ingest.sources import TableSource as TableSource
    from ingest.sources import TalentClefSource as TalentClefSource
    from ingest.training_titles import training_titles as training_titles
    from jobsearch.api import Jobs as Jobs
    from jobsearch.api import open as open  # noqa: A004
    from jobsearch.types import Filters as Filters
    from jobsearch.types import Hit as Hit

__version__ = version("jobsearch")

_MODULES = {
    "open": "jobsearch.api",
    "Jobs": "jobsearch.api",
    "Filters": "jobsearch.types",
    "Hit": "jobsearch.types",
    "EscoSource": "ingest.sources",
    "SampleSource": "ingest.sources",
    "TableSource": "ingest.sources",
    "TalentClefSource": "ingest.sources",
    "read_evaluation": "eval.evaluation",
    "training_titles": "ingest.training_titles",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
