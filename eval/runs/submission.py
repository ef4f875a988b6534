"""The zip of runs that TalentCLEF asks for."""

import re
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from eval.runs.trec import read_run, write_run
from jobsearch.errors import BenchmarkError, InvalidInput
from jobsearch.files import whole_file

#: Kinds of errors of :mod:`eval.runs.check` that writing a run anew corrects.
CORRECTED = frozenset({"mark", "tie", "whole scores"})
#: The pairs that every submission needs.
REQUIRED_PAIRS = ("en-en", "es-es", "de-de")
_TEAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}")
# The earliest that a zip can hold: the same runs give the same bytes.
_MOMENT = (1980, 1, 1, 0, 0, 0)


def package(runs: Mapping[str, Path], team: str, out: Path, *, replace: bool = False) -> list[str]:
    """Write the zip: flat, ``run_<pair>_<team>.trec``, scores strictly falling with decimals.

    The order of every ranking is kept: by score, ties as in the file.

    Args:
        runs: pair of languages -> run file.
        team: name of the team, in every name.
        out: zip to write; it appears when it is complete.
        replace: write over an earlier one.

    Returns:
        Names of the files in it.

    Raises:
        BenchmarkError: a pair is missing, a run cannot be read, or the zip cannot be written.
        InvalidInput: the team's name cannot stand in a file name.
    """
    if not _TEAM.fullmatch(team):
        raise InvalidInput(f"{team!r} cannot be a team's name: use letters, digits, - and _")
    if missing := [pair for pair in REQUIRED_PAIRS if pair not in runs]:
        raise BenchmarkError(
            f"a submission needs {', '.join(REQUIRED_PAIRS)}: give the runs for "
            f"{', '.join(missing)} as well"
        )
    if out.exists() and not replace:
        raise BenchmarkError(f"{out} is there already: choose another name, or --replace it")
    names = [f"run_{pair}_{team}.trec" for pair in runs]
    with (
        whole_file(out, "choose another place", BenchmarkError) as partial,
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, path in zip(names, runs.values(), strict=True):
            written = Path(folder, name)
            write_run(written, read_run(path).items(), team)
            entry = zipfile.ZipInfo(name, _MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, written.read_bytes())
    return names
