"""``jobsearch data``: downloads published data sets."""

import shlex
from pathlib import Path

import click

from jobsearch.cli.options import Place, as_json
from jobsearch.cli.output import bars_wanted, note, print_json, print_text


@click.group()
def data() -> None:
    """Download published data sets and check them against their published checksums."""


@data.command("talentclef-2025")
@click.option(
    "--to",
    "folder",
    type=Place(),
    metavar="DIR",
    default="data",
    show_default=True,
    help="Folder for the file; created if needed.",
)
@as_json
def talentclef_2025(folder: Path, json_: bool) -> None:
    """Download TalentCLEF 2025 task A: TaskA.zip of doi:10.5281/zenodo.15292308.

    A complete file is not downloaded again; an interrupted download continues. Prints the path of
    the file, for `jobsearch eval talentclef`; the zip need not be unpacked.
    """
    from ingest.download import TALENTCLEF_2025, fetch

    fetched = fetch(TALENTCLEF_2025, folder, progress=bars_wanted(), say=note)
    if fetched.downloaded:
        note(f"downloaded {fetched.size_bytes:,} bytes; the checksum is as published")
    else:
        note("the file is already there and its checksum is right: nothing downloaded")
    if json_:
        print_json(fetched.as_dict())
    else:
        print_text(fetched.path)
    note(f"next: {TALENTCLEF_2025.reader} {shlex.quote(str(fetched.path))}")
