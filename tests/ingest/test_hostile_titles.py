"""Hostile text: every row becomes a stored title, a counted duplicate or a listed reject."""

import csv
import json
import unicodedata
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from eval.metrics import score_ranking
from ingest.pipeline import ingest
from ingest.sources import TableSource
from ingest.sources.cells import not_a_title
from jobsearch.errors import InvalidInput, JobSearchError
from jobsearch.models import Encoder
from jobsearch.search import SearchEngine
from jobsearch.store import open_store
from jobsearch.text import normalize_title

HOSTILE = [
    "nurse\x00",
    "\x00\x01\x02",
    "\u202enurse\u202c",
    "nur\u200bse",
    "nur\u200dse",
    "\u200b\u200b",
    "\ufeffnurse",
    "👩‍⚕️",
    "👩‍⚕️ nurse",
    "x" * 1_000_000,
    "n" + "\u0301" * 400,
    "ممرضة مسجلة",
    "אחות מוסמכת",
    "=cmd|'/c calc'!A1",
    "'; DROP TABLE titles; --",
    '{"$ne": null}',
    'nurse, "registered"',
    "two\nlines",
    "tab\there",
    "ﬁsher",
    "ＮＵＲＳＥ",
    "Kra\u0308ftig",
    "Kr\u00e4ftig",
    "-",
    "   ",
    "\\",
    "%s %d {0}",
    "注册护士",
    "I\u0307stanbul",
    "ß" * 500,
    "𝓃𝓊𝓇𝓈ℯ",
    "NaN",
    "null",
    "../../etc/passwd",
]

# Rejected although they could be searched for.
REJECTED = ("two\nlines", "NaN", "null")


def table(path: Path, titles: list[str]) -> TableSource:
    """A table of titles with one concept each, so that none is a duplicate of another."""
    if path.suffix == ".jsonl":
        lines = [json.dumps({"id": f"c{i}", "title": title}) for i, title in enumerate(titles)]
        path.write_text("\n".join(lines), encoding="utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = ((f"c{i}", title) for i, title in enumerate(titles))
            csv.writer(file).writerows([("id", "title"), *rows])
    return TableSource(path, title="title", language="en", concept_id="id")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_every_hostile_title_is_stored_or_rejected(
    tmp_path: Path, suffix: str, builtin: Encoder
) -> None:
    source = table(tmp_path / f"hostile{suffix}", HOSTILE)
    with closing(open_store(str(tmp_path / "store"))) as store:
        summary = ingest(
            source, "en", store, builtin, language_check=False, max_rejects=1.0,
            rejects_path=tmp_path / "rejects.jsonl",
        )  # fmt: skip
        rejected = (tmp_path / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
        assert summary.rows_read == len(HOSTILE)
        assert summary.points + len(rejected) == len(HOSTILE)
        assert summary.duplicates == 0
        # A megabyte in one field of a CSV file counts as an unclosed quotation mark.
        too_long = "broken quoting" if suffix == ".csv" else "title longer than 500 characters"
        reasons = {json.loads(line)["reason"].partition(" (")[0] for line in rejected}
        assert reasons == {
            too_long, "empty title", "title without letter or digit", "several lines in one title",
        }  # fmt: skip
        assert store.verify(summary.alias) == []

        engine = SearchEngine(store, "builtin", lambda variant: builtin)
        for title in HOSTILE:
            if title in REJECTED:
                continue
            try:
                hits = engine.search(title, to=["en"], variant="pretrained").hits
            except InvalidInput:
                continue
            text = normalize_title(title)
            assert text in [normalize_title(hit.title) for hit in hits if hit.score > 0.999]


def test_composed_and_decomposed_titles_find_each_other(tmp_path: Path, builtin: Encoder) -> None:
    composed = "Pflegefachkräfte für Ältere"
    decomposed = unicodedata.normalize("NFD", composed)
    assert decomposed != composed
    source = table(tmp_path / "twins.csv", [composed, decomposed, "bus driver"])
    with closing(open_store(":memory:")) as store:
        ingest(source, "en", store, builtin, language_check=False)
        engine = SearchEngine(store, "builtin", lambda variant: builtin)
        for query in (composed, decomposed):
            hits = engine.search(query, to=["en"], variant="pretrained", top=2).hits
            assert {hit.concept_id for hit in hits} == {"c0", "c1"}
            assert [hit.score for hit in hits] == pytest.approx([1, 1], abs=1e-5)


def test_titles_with_invisible_characters_are_found(tmp_path: Path, builtin: Encoder) -> None:
    """Texts set for print have soft hyphens, here one before a combining mark."""
    title = "Krankenpfleger fu\u00ad\u0308r A\u200b\u0308ltere"
    source = table(tmp_path / "twins.jsonl", [title, "bus driver"])
    with closing(open_store(":memory:")) as store:
        ingest(source, "en", store, builtin, language_check=False)
        engine = SearchEngine(store, "builtin", lambda variant: builtin)
        query = "Krankenpfleger für Ältere"
        [hit] = engine.search(query, to=["en"], variant="pretrained", top=1).hits
        assert (hit.concept_id, hit.score) == ("c0", pytest.approx(1, abs=1e-5))


def test_ids_that_cannot_be_stored_are_rejects(tmp_path: Path, make_encoder) -> None:
    path = tmp_path / "ids.jsonl"
    path.write_text('{"id": "\\ud800", "title": "nurse"}\n{"id": "c1", "title": "cook"}\n')
    source = TableSource(path, title="title", language="en", concept_id="id")
    with closing(open_store(str(tmp_path / "store"))) as store:
        summary = ingest(
            source, "en", store, make_encoder(), language_check=False, max_rejects=0.5,
            rejects_path=tmp_path / "rejects.jsonl",
        )  # fmt: skip
        assert (summary.rows_read, summary.points) == (2, 1)
    [listed] = (tmp_path / "rejects.jsonl").read_text().splitlines()
    assert json.loads(listed)["reason"] == "id that is not valid Unicode"
    assert json.loads(listed)["line"] == 1


SURROGATES = frozenset(map(chr, range(0xD800, 0xE000)))
ANY_TEXT = st.text(st.characters(), max_size=40)


@example(titles=["24/24"])
@given(titles=st.lists(ANY_TEXT, min_size=1, max_size=12))
@example(titles=["0\ud800"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_table_of_text(titles: list[str], tmp_path_factory, make_encoder) -> None:
    folder = tmp_path_factory.mktemp("any")
    source = table(folder / "any.jsonl", titles)
    with closing(open_store(":memory:")) as store:
        try:
            summary = ingest(
                source, "en", store, make_encoder(), language_check=False, max_rejects=1.0,
                rejects_path=folder / "rejects.jsonl",
            )  # fmt: skip
        except JobSearchError as error:
            # Every title was rejected.
            assert "has no titles" in str(error)
            valid = [title for title in titles if not any(map(SURROGATES.__contains__, title))]
            assert not any(
                any(map(str.isalnum, normalize_title(title)))
                and len(title.strip().splitlines()) == 1
                and not not_a_title(normalize_title(title))
                for title in valid
            )
            return
        listed = summary.rejects_file
        rejected = Path(listed).read_text(encoding="utf-8").splitlines() if listed else []
        assert summary.points + summary.duplicates + len(rejected) == summary.rows_read
        assert summary.rows_read == len(titles)


@given(query=st.text(st.characters(), max_size=600))
@settings(max_examples=300, deadline=None)
def test_any_query_is_normalised_or_refused(query: str) -> None:
    from jobsearch.text import check_query

    try:
        checked = check_query(query)
    except InvalidInput as error:
        assert "\n" not in str(error)
    else:
        assert checked == normalize_title(checked) == normalize_title(query)
        checked.encode()


def test_scores_of_hostile_ids() -> None:
    ranked = ["=1+1", "../x", "D\u200b1"]
    assert score_ranking(ranked, {"../x": 1})["MRR"] == 0.5
