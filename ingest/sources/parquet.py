"""Reads untrusted Parquet files in bounded memory; needs the optional package pyarrow.

A value that every row repeats is in the file only once, so a few hundred bytes can unpack to
gigabytes. Therefore text is read as dictionaries, which also keep it in memory once, and columns
with several values per row are not read. The column sizes in a file's metadata are not used: in a
damaged file, asking pyarrow for them can crash the process.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobsearch.errors import SourceFormatError

#: Number of rows per batch.
BATCH_ROWS = 1000

_TEXT_TYPES = ("string", "large_string", "string_view")


def import_parquet() -> tuple[Any, Any]:
    """The modules ``pyarrow`` and ``pyarrow.parquet``.

    Raises:
        SourceFormatError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise SourceFormatError(
            "Parquet files need pyarrow: run pip install 'jobsearch[parquet]'"
        ) from error
    return pyarrow, parquet


@contextmanager
def open_parquet(path: Path) -> Iterator[Any]:
    """Open a ``ParquetFile`` that reads text columns as dictionaries.

    Raises:
        pyarrow.ArrowException, OSError, ValueError: the file cannot be read.
    """
    _, parquet = import_parquet()
    # pyarrow refuses paths that are not UTF-8, so Python opens the file.
    with path.open("rb") as raw:
        texts = [field.name for field in parquet.read_schema(raw) if is_text(field.type)]
        raw.seek(0)
        with parquet.ParquetFile(raw, read_dictionary=texts) as file:
            yield file


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is text, or a dictionary of text."""
    pyarrow, _ = import_parquet()
    value = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    return str(value) in _TEXT_TYPES


def flat_columns(file: Any, names: Sequence[str]) -> list[str]:
    """The given columns that have one value per row: text, a number or a time."""
    types = import_parquet()[0].types
    tests = (types.is_dictionary, types.is_primitive, types.is_decimal, types.is_null)
    plain = {field.name for field in file.schema_arrow if any(is_(field.type) for is_ in tests)}
    leaves = [file.schema.column(number) for number in range(len(file.schema))]
    counts = Counter(leaf.path for leaf in leaves)
    nested = [leaf.path for leaf in leaves if leaf.path != leaf.name or counts[leaf.path] > 1]
    # Reading a column by its name also reads all nested columns below that name.
    return [
        name
        for name in names
        if name in plain and not any(f"{path}.".startswith(f"{name}.") for path in nested)
    ]


def values_of(column: Any) -> list[Any]:
    """The values of a column in order; rows with the same text share one string object."""
    if not hasattr(column, "dictionary"):
        return list(column.to_pylist())
    used = column.indices.unique().drop_null()
    texts = dict(zip(used.to_pylist(), column.dictionary.take(used).to_pylist(), strict=True))
    return [texts.get(index) for index in column.indices.to_pylist()]
