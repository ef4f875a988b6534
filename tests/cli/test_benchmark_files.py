"""Evaluation on the user's own files."""

import json
import shutil
from pathlib import Path

from ingest.sources.esco import SAMPLE_FOLDER

PART = SAMPLE_FOLDER / "benchmark" / "validation"
FILES = (
    "--queries", PART / "english" / "queries",
    "--corpus", PART / "english" / "corpus_elements",
    "--qrels", PART / "english" / "qrels.tsv",
)  # fmt: skip
LANGUAGES = ("--query-language", "en", "--corpus-language", "en")


def test_equal_figures_from_trec_files_a_melo_set_and_the_sample(run, tmp_path: Path) -> None:
    """The sample's files in all three layouts give the same figures."""
    measure = ("--variant", "pretrained", "--runs", "runs", "--json")
    own = run("eval", "trec", *FILES, *LANGUAGES, "--name", "my-jobs", *measure)
    assert own.exit_code == 0, own.output
    (cell,) = json.loads(own.stdout)["cells"]
    assert (cell["benchmark"], cell["split"], cell["pair"]) == ("my-jobs", "qrels", "en-en")
    assert cell["collections"][0].startswith("eval-my-jobs__en__builtin__pretrained__")
    assert list(Path("runs").iterdir()) == [
        Path("runs/run_my-jobs-qrels_en-en_builtin-pretrained.trec")
    ]

    sample = run("eval", "sample", "--pairs", "en-en", *measure)
    assert json.loads(sample.stdout)["cells"][0]["metrics"] == cell["metrics"]

    for name in ("gbr_q_en_c_en", "irl_q_en_c_en"):
        folder = tmp_path / "melo" / name
        folder.mkdir(parents=True)
        for file in ("queries", "corpus_elements"):
            _, *lines = (PART / "english" / file).read_text("utf-8").splitlines(keepends=True)
            (folder / f"{file}.tsv").write_text("".join(lines), "utf-8")
        shutil.copy(PART / "english" / "qrels.tsv", folder / "annotations.tsv")
        (folder / "concept_mapping.tsv").touch()
    one = run("eval", "melo", "melo", "--set", "irl_q_en_c_en", *measure)
    assert one.exit_code == 0, one.output
    (melo,) = json.loads(one.stdout)["cells"]
    assert (melo["benchmark"], melo["split"]) == ("melo", "irl_q_en_c_en")
    assert melo["metrics"] == cell["metrics"]
    refused = run("eval", "melo", "melo")
    assert refused.exit_code == 1
    assert refused.stderr == (
        "error: melo holds 2 sets: choose one with `--set`: gbr_q_en_c_en, irl_q_en_c_en\n"
    )


def test_invalid_trec_files(run) -> None:
    wrong = run("eval", "trec", *FILES, *LANGUAGES, "--name", "melo")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: 'melo' cannot name a benchmark")
    missing = run("eval", "trec", *FILES[:4], "--qrels", "nowhere", *LANGUAGES)
    assert missing.exit_code == 1
    assert missing.stderr.startswith("error: nowhere cannot be read")
    german = run("eval", "trec", *FILES, "--query-language", "de", "--corpus-language", "en")
    assert german.exit_code == 1
    assert "--language-check off" in german.stderr
