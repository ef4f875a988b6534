import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.benchmarks.base import read_qrels
from eval.benchmarks.talentclef import ids_of_split
from eval.metrics import score
from eval.runs import check
from eval.runs.check import Expected, check_run, expected_for, pair_of_name
from eval.runs.submission import CORRECTED, package
from eval.runs.trec import read_run
from jobsearch.errors import BenchmarkError, InvalidInput

GOOD = "1 Q0 a 1 0.9 me\n1 Q0 b 2 0.5 me\n2 Q0 b 1 1e-3 me\n2 Q0 a 2 -0.25 me\n"
EN, EN_DOCS = frozenset("12"), frozenset("ab")
ES, ES_DOCS = frozenset("1234"), frozenset("abcd")
EXPECTED = Expected("en-en", EN, EN_DOCS)


@pytest.fixture
def run_file(tmp_path: Path):
    def write(text: str | bytes, name: str = "run_en-en_me.trec") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def kinds(findings) -> list[tuple[str, str, str]]:
    return [(f.kind, f.severity, f.where) for f in findings]


def test_a_good_run_has_no_findings(run_file) -> None:
    assert check_run(run_file(GOOD)) == []
    assert check_run(run_file(GOOD), EXPECTED) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("q_id Q0 doc_id rank score tag\n" + GOOD, ("header", "error", "line 1")),
        (GOOD + "1 Q0 c 3 0.1\n", ("no tag", "warning", "file")),
        (GOOD.replace(" me", ""), ("no tag", "warning", "file")),
        ("1 Q0 c 1 0.95\n" + GOOD, ("columns", "error", "line 2")),
        (GOOD + "1 Q0 c 3 0.1 me too\n", ("columns", "error", "line 5")),
        (GOOD + "1 Q0 a 1 0.90 me\n", ("duplicate", "warning", "line 5")),
        (GOOD + "1 Q0 NA 3 0.1 me\n", ("changed id", "error", "file")),
        (GOOD + '1 Q0 "c" 3 0.1 me\n', ("changed id", "error", "file")),
        (GOOD.replace("1 Q0", "01 Q0"), ("changed id", "error", "file")),
        (GOOD + "1 Q0 c 3 high me\n", ("score", "error", "line 5")),
        (GOOD + "1 Q0 c 3 nan me\n", ("score", "error", "line 5")),
        (GOOD + "1 Q0 c 3 -inf me\n", ("score", "error", "line 5")),
        (GOOD + "1 Q0 a 3 0.1 me\n", ("duplicate", "error", "line 5")),
        (GOOD + "1 Q0 c 3 1_0 me\n", ("score", "error", "line 5")),
        (GOOD + "1 Q0 c 3 \u0663 me\n", ("score", "error", "line 5")),
        ("1 Q0 a 1 0,9 me\n" + GOOD.replace("1 Q0 a", "1 Q0 c"), ("score", "error", "line 1")),
        (GOOD + "1 Q0 c 3 0.5 me\n", ("tie", "error", "query 1")),
        (GOOD + "1 Q0 c 3 0.6 me\n", ("rank", "error", "line 5")),
        (GOOD + "1 Q0 c 1 0.4 me\n", ("rank", "error", "line 5")),
        (GOOD + "1 Q0 c 2 0.6 me\n", ("order", "warning", "line 5")),
        (GOOD + "1 Q0 c best 0.6 me\n", ("order", "warning", "line 5")),
        (GOOD + "1 Q0 c 3 0.1 you\n", ("tags", "warning", "file")),
        (GOOD.replace("\n", "\r\n"), ("line ends", "warning", "file")),
        (GOOD.encode() + b"1 Q0 \xff 3 0.1 me\n", ("encoding", "error", "line 5")),
        ("1 Q0 a 1 2 me\n1 Q0 b 2 1 me\n", ("whole scores", "error", "file")),
        ("", ("no run", "error", "file")),
        ("\n \n", ("no run", "error", "file")),
        (GOOD + "\n", ("blank", "warning", "line 5")),
        ("\ufeff" + GOOD, ("mark", "warning", "line 1")),
        ("1 Q0 a 1 0.5 équipe\n".encode("latin-1"), ("encoding", "error", "line 1")),
        ("1 0 a 1\n1 0 b 0\n2 0 a 1\n", ("no run", "error", "file")),
    ],
)
def test_findings_without_expected_ids(run_file, text: str | bytes, expected) -> None:
    assert kinds(check_run(run_file(text)))[:1] == [expected]
    if expected[0] != "columns":
        assert len(check_run(run_file(text))) == 1


def test_whole_numbers_among_decimals_are_accepted(run_file) -> None:
    assert check_run(run_file(GOOD + "3 Q0 a 1 7 me")) == []


def test_ties_are_found_across_distant_lines(run_file) -> None:
    findings = check_run(
        run_file(GOOD.replace("0.5", "0.50") + "1 Q0 c 1 0.9 me\n1 Q0 d 2 .5 me\n")
    )
    (tie,) = (finding for finding in findings if finding.kind == "tie")
    assert (tie.severity, tie.where) == ("error", "query 1")
    assert tie.what.startswith("2 documents have the score of another (first on line 5)")


def test_reversed_lines_only_get_warnings(run_file) -> None:
    lines = GOOD.splitlines(keepends=True)
    assert kinds(check_run(run_file("".join(reversed(lines))))) == [
        ("order", "warning", "line 2"),
        ("order", "warning", "line 4"),
    ]


def test_distances_instead_of_scores_are_found(run_file) -> None:
    """The scorer would reverse every ranking."""
    distances = "".join(f"1 Q0 d{n} {n} 0.{n} me\n" for n in range(1, 5))
    findings = check_run(run_file(distances))
    assert kinds(findings) == [("rank", "error", f"line {line}") for line in (2, 3, 4)]
    assert findings[0].what.startswith("rank 2 has score 0.2, rank 1 has 0.1")


def test_very_long_lines_are_cut(run_file) -> None:
    findings = check_run(run_file(GOOD + "1 Q0 c 3 " + "9" * 300_000 + " me\n"))
    assert {f.kind for f in findings} == {"columns"}
    assert all(len(f.what) < 300 for f in findings)
    long_score = "1 Q0 c 3 " + "x" * 5_000 + " me\n"
    (finding,) = check_run(run_file(GOOD + long_score))
    assert (finding.kind, len(finding.what) < 300) == ("score", True)


def test_foreign_ids_and_missing_queries_are_found(run_file) -> None:
    text = GOOD.replace("2 Q0 b", "9 Q0 b").replace("2 Q0 a", "9 Q0 z")
    assert kinds(check_run(run_file(text), EXPECTED)) == [
        ("foreign query", "error", "line 3"),
        ("foreign document", "error", "line 4"),
        ("missing query", "error", "query 2"),
    ]


def test_short_rankings_get_a_warning(run_file) -> None:
    text = GOOD.replace("2 Q0 a 2 -0.25 me\n", "")
    assert kinds(check_run(run_file(text), EXPECTED)) == [("short", "warning", "query 2")]
    assert kinds(check_run(run_file(text), depth=1)) == []
    assert len(check_run(run_file(text), depth=3)) == 2


def test_a_run_for_another_pair_is_recognised(run_file) -> None:
    ids = {
        "en-en": (EN, EN_DOCS),
        "es-es": (ES, ES_DOCS),
        "en-es": (EN, ES_DOCS),
        "de-de": (frozenset("xy"), frozenset("uv")),
    }
    text = GOOD + "1 Q0 d 3 0.1 me\n"
    findings = check_run(run_file(text, "run_en-en_me.trec"), expected_for("en-en", ids))
    assert findings[0].kind == "pair"
    assert "but those of es-es, en-es" in findings[0].what
    findings = check_run(run_file(GOOD, "run_en-de_me.trec"), expected_for("en-en", ids))
    assert kinds(findings) == [("pair", "error", "file")]
    assert "the file name says en-de, it is checked as en-en" in findings[0].what
    with pytest.raises(BenchmarkError, match=r"no data .* for en-zh .*its pairs are en-en, es-es"):
        expected_for("en-zh", ids)


@pytest.mark.parametrize(
    ("queries", "documents", "belongs_to"),
    [
        ("12", "ab", ["en-en"]),  # the corpus of the wrong language
        ("1234", "abcd", ["es-es"]),
        ("12", "abcd", []),
        ("12", "abc", []),  # may be a short run for en-es
        ("12", "abx", []),
    ],
)
def test_ids_of_a_small_set_that_are_also_ids_of_a_larger_set(
    run_file, queries: str, documents: str, belongs_to: list[str]
) -> None:
    """TalentCLEF numbers the queries and the corpus of every language from 1 on."""
    ids = {"en-en": (EN, EN_DOCS), "es-es": (ES, ES_DOCS), "en-es": (EN, ES_DOCS)}
    text = "".join(
        f"{q} Q0 {d} {n} {1 - n / 10} me\n" for q in queries for n, d in enumerate(documents)
    )
    findings = check_run(run_file(text, "mine.trec"), expected_for("en-es", ids))
    assert [f.what for f in findings if f.kind == "pair"] == [
        f"its ids are not those of en-es, but those of {pair}" for pair in belongs_to
    ]


@pytest.mark.slow
def test_a_run_over_the_corpus_of_the_wrong_language(run_file, talentclef: Path) -> None:
    ids = ids_of_split(talentclef, "validation")
    assert {pair: tuple(map(len, sets)) for pair, sets in ids.items()} == {
        f"{first}-{second}": (queries, documents)
        for first, queries in (("de", 203), ("en", 105), ("es", 185))
        for second, documents in (("de", 4729), ("en", 2619), ("es", 4661))
    }
    queries, documents = ids["en-en"]
    lines = (
        f"{q} Q0 {d} {rank} {1 - rank / 9999:.4f} me\n"
        for q in queries
        for rank, d in enumerate(documents)
    )
    found = check_run(run_file("".join(lines), "run_en-es_me.trec"), expected_for("en-es", ids))
    assert [f.what for f in found if f.severity == "error"] == [
        "its ids are not those of en-es, but those of en-en"
    ]


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("run_en-es_TEAM.trec", "en-es"), ("run_talentclef-2025-test_de-de_x.trec", "de-de"),
        ("en-en.txt", "en-en"), ("run.trec", None), ("run_eng-esp.trec", None),
        ("my-run_a-b.trec", None),
    ],
)  # fmt: skip
def test_the_pair_in_a_file_name(name: str, pair: str | None) -> None:
    assert pair_of_name(Path(name)) == pair


def test_further_findings_of_a_kind_are_counted(run_file, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "LISTED", 3)
    rising = "".join(f"1 Q0 d{n} {n} {n}.5 me\n" for n in range(11))
    findings = check_run(run_file(rising), EXPECTED)
    found = [f for f in findings if f.kind == "rank"]
    assert [f.where for f in found] == ["line 2", "line 3", "line 4", "file"]
    assert found[-1].what == "7 more of these"
    assert len([f for f in findings if f.kind == "foreign document"]) == 4


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="cannot be read"):
        check_run(tmp_path / "none")


scores = st.lists(
    st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.5, 1.0, 2.0])), min_size=1, max_size=30
)


@settings(max_examples=40, deadline=None)
@given(scores)
def test_packaged_rankings_keep_their_order_and_decrease(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    tmp_path = tmp_path_factory.mktemp("package")
    ranked = sorted(range(len(values)), key=lambda n: -values[n])
    text = "".join(f"1 Q0 d{n} 1 {value!r} me\n" for n, value in enumerate(values))
    runs = {}
    for pair in ("en-en", "es-es", "de-de"):
        runs[pair] = tmp_path / f"{pair}.trec"
        runs[pair].write_text(text)
    out = tmp_path / "out.zip"
    package(runs, "me", out, replace=True)
    with zipfile.ZipFile(out) as archive:
        archive.extract("run_es-es_me.trec", tmp_path)
    written = tmp_path / "run_es-es_me.trec"
    assert [doc for doc, _ in read_run(written)["1"]] == [f"d{n}" for n in ranked]
    assert [f.kind for f in check_run(written)] == []


def official(path: Path) -> dict[str, dict[str, float]]:
    """The scores in a run as the official script reads them, or an error where it fails."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(path, sep=r"\s+", header=None)
    if frame.shape[1] not in (5, 6) or frame[4].dtype != "float64":
        raise ValueError("the script fails")
    run: dict[str, dict[str, float]] = {}
    columns = (frame[0].astype(object), frame[2].astype(object), frame[4])
    for query, document, value in zip(*columns, strict=True):
        run.setdefault(str(query), {})[str(document)] = value
    return run


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace(" me", ""),
        GOOD + "1 Q0 c 3 0.1\n",
        "\n" + GOOD.replace("\n", "\n\n") + " \n\t\n",
        "\ufeff" + GOOD,
        "\ufeff" + GOOD.replace(" me", ""),
        GOOD.replace(" ", "\t"),
        GOOD.replace(" ", "   ").replace("1 ", " 1 "),
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("a", "\u00e9").replace("b", "b\u00a0c"),
        GOOD.replace("Q0", "0").replace("me", "a.b"),
        GOOD + "1 Q0 a 1 0.9 me\n",
        GOOD.rstrip(),
    ],
)
def test_runs_that_the_official_script_reads_have_no_errors(run_file, text: str) -> None:
    path = run_file(text)
    assert [finding for finding in check_run(path) if finding.severity == "error"] == []
    assert {q: dict(ranking) for q, ranking in read_run(path).items()} == official(path)


@pytest.mark.parametrize(
    "text",
    [
        "q_id Q0 doc_id rank score tag\n" + GOOD,
        "1 Q0 c 1 0.95\n" + GOOD,
        GOOD + "1 Q0 c 3 0.1 me too\n",
        GOOD.replace(" me", " me too"),
        GOOD.replace("0.5", "x"),
        "1 Q0 a 1 2 me\n1 Q0 b 2 1 me\n",
        "1 Q0 a 1\n1 Q0 b 2\n1 Q0 c 3\n",
        GOOD.encode() + b"1 Q0 \xff 3 0.1 me\n",
        "",
        GOOD.replace("1 Q0", "01 Q0"),
        GOOD.replace("Q0 a", "Q0 007").replace("Q0 b", "Q0 8"),
        GOOD.replace("Q0 a", "Q0 null"),
        GOOD.replace("Q0 a", 'Q0 "a"'),
        GOOD + "1 Q0 a 3 0.1 me\n",
    ],
)
def test_runs_that_the_official_script_misreads_have_errors(run_file, text: str | bytes) -> None:
    path = run_file(text)
    as_bytes = text if isinstance(text, bytes) else text.encode()
    lines = [line.split() for line in as_bytes.decode(errors="replace").splitlines()]
    assert {finding.severity for finding in check_run(path)} & {"error"}
    try:
        read = official(path)
    except ValueError:
        return
    # The first line of a document is the one with its rank.
    written: dict[str, dict[str, float]] = {}
    for line in lines:
        written.setdefault(line[0], {}).setdefault(line[2], float(line[4]))
    assert read != written


def test_a_run_without_tags_as_the_official_script_reads_it(run_file, shared_data: Path) -> None:
    folder = shared_data.parent / "cases" / "06-run-check"
    findings = check_run(folder / "five-columns.trec")
    assert kinds(findings) == [("no tag", "warning", "file")]
    five = read_run(folder / "five-columns.trec")
    assert five == {"q1": [("d1", 0.9), ("d2", 0.8)], "q2": [("d4", 0.7), ("d3", 0.6)]}
    # Precision 1 at the one relevant document of q1 and at both of q2.
    with (folder / "base.qrels").open() as lines:
        assert score(five, read_qrels(lines, "base.qrels")).means["MAP"] == 1


def test_a_packaged_run_without_tags_and_with_blank_lines(run_file, tmp_path: Path) -> None:
    text = "\ufeff\n" + GOOD.replace(" me", "")
    package(three(run_file) | {"en-en": run_file(text)}, "T", tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extract("run_en-en_T.trec", tmp_path)
    assert check_run(tmp_path / "run_en-en_T.trec") == []
    assert [doc for doc, _ in read_run(tmp_path / "run_en-en_T.trec")["2"]] == ["b", "a"]


def three(run_file) -> dict[str, Path]:
    return {pair: run_file(GOOD, f"run_{pair}_x.trec") for pair in ("en-en", "es-es", "de-de")}


@pytest.mark.parametrize("text", [GOOD.replace("0.5", "0.9"), "1 Q0 a 1 2 me\n1 Q0 b 2 1 me\n"])
def test_packaging_corrects_some_errors(run_file, tmp_path: Path, text: str) -> None:
    runs = three(run_file) | {"en-en": run_file(text)}
    (error,) = check_run(runs["en-en"])
    assert (error.severity, error.kind in CORRECTED) == ("error", True)
    package(runs, "T", tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extract("run_en-en_T.trec", tmp_path)
    assert check_run(tmp_path / "run_en-en_T.trec") == []


def test_equal_runs_give_equal_bytes(run_file, tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "1.zip", tmp_path / "2.zip"
    assert package(three(run_file), "TEAM", first) == [
        "run_en-en_TEAM.trec", "run_es-es_TEAM.trec", "run_de-de_TEAM.trec",
    ]  # fmt: skip
    package(three(run_file), "TEAM", second)
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in first.parent.iterdir()] == ["1.zip"]


def test_refused_packages(run_file, tmp_path: Path) -> None:
    runs, out = three(run_file), tmp_path / "out.zip"
    with pytest.raises(InvalidInput, match="cannot be the name of a team"):
        package(runs, "../TEAM", out)
    with pytest.raises(BenchmarkError, match="give the runs for de-de as well"):
        package({pair: runs[pair] for pair in ("en-en", "es-es")}, "TEAM", out)
    out.write_bytes(b"before")
    with pytest.raises(BenchmarkError, match="exists already"):
        package(runs, "TEAM", out)
    runs["en-en"].write_text("1 0 a 1\n")
    with pytest.raises(BenchmarkError, match=r"line 1: .*looks like a line of judgements"):
        package(runs, "TEAM", out, replace=True)
    assert out.read_bytes() == b"before"
    with pytest.raises(BenchmarkError, match="cannot be written"):
        package(three(run_file), "TEAM", out / "below.zip")
