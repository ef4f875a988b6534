"""Reads untrusted Excel workbooks (.xlsx) row by row; needs the optional package openpyxl.

Workbooks as offices send them begin with a cover sheet, and a table with a few lines above its
header. So the header is the first row, on any sheet, that has all needed columns.
"""

import warnings
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ingest.sources.cells import cell_text
from ingest.sources.files import check_archive, check_columns
from jobsearch.errors import SourceFormatError

# An encrypted workbook is inside a file of the format of Excel 97.
_OLE = b"\xd0\xcf\x11\xe0"
# openpyxl has no error of its own for a broken part of a workbook.
_BROKEN = (
    OSError, ValueError, LookupError, TypeError, AttributeError, SyntaxError, EOFError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip

#: A header is looked for in this many rows of each sheet.
MAX_ROWS_ABOVE = 50


def import_openpyxl() -> Any:
    """The module ``openpyxl``.

    Raises:
        SourceFormatError: it is not installed.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise SourceFormatError(
            "Excel workbooks need openpyxl: run pip install 'jobsearch[excel]', or save the sheet "
            "as CSV"
        ) from error
    # It warns about everything that it does not read, such as drop-down lists.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"openpyxl\.")
    return openpyxl


def read_workbook(path: Path, needed: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows below the header of the sheet that has the needed columns; blank rows are skipped.

    Args:
        path: of the workbook.
        needed: names of columns.

    Yields:
        Number of the row in its sheet, from 1, and the values of the needed columns. Formulas have
        the value that Excel computed last.

    Raises:
        SourceFormatError: the file is no workbook, or not exactly one sheet has the columns.
        UnsafeArchive: the file would unpack to far more than its size.
    """
    openpyxl = import_openpyxl()
    with path.open("rb") as file:
        if file.read(4) == _OLE:
            raise SourceFormatError(
                f"{path} is encrypted or of Excel 97: save it as .xlsx without a password"
            )
    check_archive(path)
    try:
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            sheet, header_row, header = _find_header(workbook, path, needed)
            places = {name: header.index(name) for name in needed}
            rows = sheet.iter_rows(min_row=header_row + 1, values_only=True)
            for number, values in enumerate(rows, start=header_row + 1):
                if any(value is not None for value in values):
                    cells = dict(enumerate(values))
                    yield number, {name: cells.get(place) for name, place in places.items()}
        finally:
            workbook.close()
    except _BROKEN as error:
        raise SourceFormatError(
            f"{path} cannot be read as an Excel workbook ({_first_line(error)}): "
            "save the sheet as CSV"
        ) from error


def _find_header(workbook: Any, path: Path, needed: list[str]) -> tuple[Any, int, list[str]]:
    """The sheet with the needed columns, the number of its header row, and its column names."""
    found = []
    for sheet in workbook.worksheets:
        # The size that a sheet claims may be far too large.
        sheet.reset_dimensions()
        rows = islice(sheet.iter_rows(values_only=True), MAX_ROWS_ABOVE)
        for number, values in enumerate(rows, start=1):
            header = [" ".join(cell_text(value).split()) for value in values]
            if set(needed) <= set(header):
                found.append((sheet, number, header))
                break
    if len(found) == 1:
        check_columns(found[0][2], f"{path}, sheet {found[0][0].title!r},", needed)
        return found[0]
    columns = ", ".join(map(repr, needed))
    if found:
        sheets = ", ".join(repr(sheet.title) for sheet, _, _ in found)
        raise SourceFormatError(
            f"{path} has several sheets with a column {columns}: {sheets}. Save the right one "
            "as CSV"
        )
    sheets = ", ".join(repr(sheet.title) for sheet in workbook.worksheets)
    raise SourceFormatError(
        f"{path} has no column {columns} in the first {MAX_ROWS_ABOVE} rows of any sheet: "
        f"its sheets are {sheets}"
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
