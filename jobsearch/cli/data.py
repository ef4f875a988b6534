"""``jobsearch data``: data sets that others publish."""

import shlex
from pathlib import Path

import click

from jobsearch.cli.options import Place, as_json
from jobsearch.cli.output import bars_wanted, note, print_json, print_text


@click.group()
def data() -> None:
    """Fetch data sets, checked against the checksums of those who publish them."""


@data.command("talentclef-2025")
@click.option(
    "--to",
    "folder",
    type=Place(),
    metavar="DIR",
    default="data",
    show_default=True,
    help="Folder to put it in.",
)
@as_json
def talentclef_2025(folder: Path, json_: bool) -> None:
    """Fetch TalentCLEF 2025's task A: TaskA.zip of doi:10.5281/zenodo.15292308.

    Nothing is downloaded if it is there and whole; a download that was broken off is gone on with.
    Prints the path of the file, which `jobsearch eval talentclef` reads as it is.
    """
    from ingest.download import TALENTCLEF_2025, fetch

    fetched = fetch(TALENTCLEF_2025, folder, progress=bars_wanted(), say=note)
    if fetched.downloaded:
        note(f"downloaded {fetched.size_bytes:,} bytes, checksum as published")
    else:
        note("it is there and its checksum is right: nothing downloaded")
    if json_:
        print_json(fetched.as_dict())
    else:
        print_text(fetched.path)
    note(f"next: {TALENTCLEF_2025.reader} {shlex.quote(str(fetched.path))}")
