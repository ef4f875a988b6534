"""Match job titles across languages: embed, store in Qdrant, search, evaluate."""

from importlib.metadata import version

__version__ = version("jobsearch")
