"""Parquet, whose library is an extra."""

from typing import Any

from jobsearch.errors import SourceFormatError


def import_parquet() -> tuple[Any, Any]:
    """The modules ``pyarrow`` and ``pyarrow.parquet``.

    Raises:
        SourceFormatError: they are not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise SourceFormatError(
            "Parquet files need pyarrow: pip install 'jobsearch[parquet]'"
        ) from error
    return pyarrow, parquet
