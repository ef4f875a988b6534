"""Writes the zip of runs that TalentCLEF accepts as a submission."""

import re
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from eval.runs.trec import read_run, write_run
from jobsearch.errors import BenchmarkError, InvalidInput
from jobsearch.files import whole_file

#: Kinds of errors found by :mod:`eval.runs.check` that :func:`package` corrects.
CORRECTED = frozenset({"tie", "whole scores"})
#: The pairs that every submission must have.
REQUIRED_PAIRS = ("en-en", "es-es", "de-de")
_TEAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}")
# The earliest time in a zip. It is fixed so that equal runs give equal bytes.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def package(runs: Mapping[str, Path], team: str, out: Path, *, replace: bool = False) -> list[str]:
    """Write the zip: files ``run_<pair>_<team>.trec`` without folders, scores strictly decreasing.

    Every ranking keeps its order: by score, and documents with equal scores as in the file.

    Args:
        runs: pair of languages -> run file.
        team: name of the team, part of every file name.
        out: zip to write, atomically.
        replace: overwrite an earlier zip.

    Returns:
        Names of the files in the zip.

    Raises:
        BenchmarkError: a pair is missing, a run cannot be read, the zip exists, or it cannot be
            written.
        InvalidInput: the name of the team has other characters than letters, digits, - and _.
    """
    if not _TEAM.fullmatch(team):
        raise InvalidInput(
            f"{team!r} cannot be the name of a team: give `team` up to 50 letters, digits, - and _"
        )
    if missing := [pair for pair in REQUIRED_PAIRS if pair not in runs]:
        raise BenchmarkError(
            f"a submission needs {', '.join(REQUIRED_PAIRS)}: give the runs for "
            f"{', '.join(missing)} as well"
        )
    if out.exists() and not replace:
        raise BenchmarkError(
            f"{out} exists already: choose another name, or `replace=True` to overwrite it"
        )
    names = [f"run_{pair}_{team}.trec" for pair in runs]
    with (
        whole_file(out, "choose another place for `out`", BenchmarkError) as partial,
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, path in zip(names, runs.values(), strict=True):
            written = Path(folder, name)
            write_run(written, read_run(path).items(), team)
            entry = zipfile.ZipInfo(name, _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, written.read_bytes())
    return names
