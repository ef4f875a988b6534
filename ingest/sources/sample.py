"""The sample that ships with the package: few occupations, in ESCO's layout."""

from collections.abc import Sequence
from pathlib import Path

from ingest.sources.esco import EscoSource
from jobsearch import __version__

SAMPLE_FOLDER = Path(__file__).parents[1] / "sample"


class SampleSource(EscoSource):
    """Written by hand for this project, with ids of its own; good for a try, not for figures."""

    licence = "Apache License 2.0"

    def __init__(self, languages: Sequence[str] | None = None) -> None:
        super().__init__(SAMPLE_FOLDER, languages=languages)
        self.name = "sample"
        self.version = __version__
