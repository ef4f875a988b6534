"""Parquet, whose library is an extra, and whose files may hold far more than they seem.

A value that stands in every row is in the file once, and a few hundred bytes can mean gigabytes. So
text is read as dictionaries, where it is in memory once, too, and columns with several values a row
are not read. What a file says of the size of its columns is of no use: where it is damaged, asking
pyarrow for it ends the process.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobsearch.errors import SourceFormatError

#: Rows that are read at a time.
BATCH_ROWS = 1000

_TEXT_TYPES = ("string", "large_string", "string_view")


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


@contextmanager
def open_parquet(path: Path) -> Iterator[Any]:
    """A ``ParquetFile`` that reads columns of text as dictionaries."""
    _, parquet = import_parquet()
    texts = [field.name for field in parquet.read_schema(path) if is_text(field.type)]
    with parquet.ParquetFile(path, read_dictionary=texts) as file:
        yield file


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is text or a dictionary of texts."""
    pyarrow, _ = import_parquet()
    value = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    return str(value) in _TEXT_TYPES


def flat_columns(file: Any, names: Sequence[str]) -> list[str]:
    """Those of the columns that have one value a row, which is text, a number or a time."""
    types = import_parquet()[0].types
    tests = (types.is_dictionary, types.is_primitive, types.is_decimal, types.is_null)
    plain = {field.name for field in file.schema_arrow if any(is_(field.type) for is_ in tests)}
    leaves = [file.schema.column(number) for number in range(len(file.schema))]
    times = Counter(leaf.path for leaf in leaves)
    others = [leaf.path for leaf in leaves if leaf.path != leaf.name or times[leaf.path] > 1]
    # A name stands for all columns below it.
    return [
        name
        for name in names
        if name in plain and not any(f"{other}.".startswith(f"{name}.") for other in others)
    ]


def values_of(column: Any) -> list[Any]:
    """The values of a column; rows with the same text share one string."""
    if not hasattr(column, "dictionary"):
        return list(column.to_pylist())
    used = column.indices.unique().drop_null()
    texts = dict(zip(used.to_pylist(), column.dictionary.take(used).to_pylist(), strict=True))
    return [texts.get(index) for index in column.indices.to_pylist()]
