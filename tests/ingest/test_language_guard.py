"""The language guard on real titles: it refuses no right batch and passes no wrong batch."""

import random
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from ingest.language_guard import _identifier, check_titles
from ingest.sources import EscoSource, SampleSource, TalentClefSource
from ingest.sources.talentclef import find_task, read_titles
from jobsearch.errors import LanguageMismatch, SourceError

CASES: dict[str, Callable[[str], str]] = {"as is": str, "lower": str.lower, "upper": str.upper}
LANGUAGES = ("en", "es", "de", "zh")
LOCALES = (
    "ar_AA", "cs_CZ", "da_DK", "de_AT", "el_GR", "en_US", "es_ES", "fi_FI", "fr_FR", "hr_HR",
    "hu_HU", "pl_PL", "pt_PT", "ro_RO", "ru_RU", "sk_SK", "tr_TR", "uk_UA", "zh_CN",
)  # fmt: skip


def titles_of(source: EscoSource | TalentClefSource, language: str) -> list[str]:
    rows = source.rows(language)
    return sorted({record.title for row in rows for record in row.records})


def refused(titles: list[str], language: str) -> bool:
    try:
        assert check_titles(titles, language, where="test")
    except LanguageMismatch:
        return True
    return False


@pytest.fixture(scope="module")
def real_sets(esco: Path, talentclef: Path) -> dict[tuple[str, str], list[str]]:
    """Titles by language and origin."""
    sets = {}
    for language in ("en", "es", "de"):
        sets[language, "esco"] = titles_of(EscoSource(esco), language)
        for split in ("validation", "test"):
            source = TalentClefSource(talentclef, split)
            sets[language, split] = titles_of(source, language)
            queries = read_titles(find_task(talentclef), split, language, "queries")
            sets[language, f"{split} queries"] = sorted(queries.values())
    for language, folder in (("de", "deu_q_de_c_en"), ("es", "esp_q_es_c_en")):
        path = talentclef.parents[1] / "melo" / folder / "queries.tsv"
        lines = path.read_text(encoding="utf-8").splitlines()
        sets[language, "melo queries"] = sorted({line.split("\t")[1] for line in lines})
    return sets


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [20, 50, 150])
def test_real_titles(real_sets: dict[tuple[str, str], list[str]], size: int, case: str) -> None:
    rng = random.Random(size)
    for (language, origin), titles in real_sets.items():
        batch = [CASES[case](t) for t in rng.sample(titles, min(size, len(titles)))]
        accepted = {claimed for claimed in LANGUAGES if not refused(batch, claimed)}
        # With 20 titles, one wrong batch in thousands may pass. No right batch is refused.
        assert language in accepted, origin
        assert accepted == {language} or size == 20, origin


@cache
def faker_titles(locale: str) -> tuple[str, ...]:
    """50 of the job titles that Faker has for a country."""
    pytest.importorskip("faker", reason="Faker is not installed: pip install 'jobsearch[test]'")
    provider = import_module(f"faker.providers.job.{locale}").Provider
    names = ("jobs", "jobs_male", "jobs_female")
    titles = sorted({title for name in names for title in getattr(provider, name, ())})
    return tuple(random.Random(0).sample(titles, 50))


@pytest.mark.parametrize("locale", LOCALES)
def test_similar_languages_are_told_apart(locale: str) -> None:
    """The languages include Czech and Slovak, Portuguese and Spanish."""
    titles = list(faker_titles(locale))
    accepted = {other for other in LOCALES if not refused(titles, other[:2])}
    assert accepted == {locale}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("claimed", LANGUAGES)
def test_the_sample(language: str, claimed: str) -> None:
    titles = titles_of(SampleSource(), language)
    assert refused(titles, claimed) == (language != claimed)
    assert refused(titles[::7][:60], claimed) == (language != claimed)


def test_the_message_counts_titles_by_language() -> None:
    titles = titles_of(SampleSource(), "en")
    with pytest.raises(
        LanguageMismatch,
        match=r"^jobs: of 200 titles 1\d\d look English and \d look Spanish, .*`language_check=F",
    ):
        check_titles(titles, "es", where="jobs")


def test_few_titles_are_refused_only_if_clearly_wrong() -> None:
    assert not refused(["Manager", "Controller"], "de")
    assert not refused(["chef", "actor", "director"], "es")
    assert refused(
        ["head of the department of history", "owner of a small shop", "keeper of the bees",
         "weaver of woollen clothes", "teacher of English", "hospital porter at night"], "es",
    )  # fmt: skip


def test_one_repeated_word_is_not_enough() -> None:
    # "clerk" alone looks Turkish.
    assert not refused([f"clerk {n}" for n in range(40)], "en")


def test_titles_half_in_english_are_accepted() -> None:
    sample = SampleSource()
    german, english = titles_of(sample, "de")[:80], titles_of(sample, "en")[:70]
    assert not refused([*german, *english], "de")


def test_the_sample_of_titles_is_fixed() -> None:
    titles = titles_of(SampleSource(), "en")
    messages = []
    for order in (titles, titles[::-1], titles + titles):
        with pytest.raises(LanguageMismatch) as error:
            check_titles(order, "de", where="jobs")
        messages.append(str(error.value))
    assert len(set(messages)) == 1


def test_no_titles_and_an_unknown_language() -> None:
    assert check_titles([], "en", where="jobs")
    assert not check_titles(["nuqneH"], "xx", where="jobs")


def test_no_room_for_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    _identifier.cache_clear()
    with pytest.raises(SourceError, match="make room there, set TMPDIR") as caught:
        check_titles(["nurse"], "en", where="test")
    assert f"in {tmp_path / 'gone'} (No such file or directory)" in str(caught.value)
    monkeypatch.undo()
    assert check_titles(["nurse"], "en", where="test")
