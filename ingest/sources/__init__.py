"""Sources of titles: ESCO, TalentCLEF, the user's own table, the sample."""

from ingest.sources.base import Reject, Row, Source
from ingest.sources.esco import EscoSource, SampleSource
from ingest.sources.table import TableSource
from ingest.sources.talentclef import TalentClefPairsSource, TalentClefSource

__all__ = [
    "EscoSource",
    "Reject",
    "Row",
    "SampleSource",
    "Source",
    "TableSource",
    "TalentClefPairsSource",
    "TalentClefSource",
]
