"""``jobsearch models plot`` on the sample, with the real model."""

import json
from pathlib import Path

import numpy as np
import pytest


def test_both_variants_and_both_formats(run, models_dir: Path, builtin, finetuned) -> None:
    done = run(
        "models", "plot", "--output", "out/a.png", "--output", "out/a.svg", "--languages", "en,de",
        "--concepts", 5, "--models-dir", models_dir, "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["model"], found["concepts"]) == ("builtin", 5)
    assert found["files"] == ["out/a.png", "out/a.svg"]
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "a.svg"]
    assert [v["variant"] for v in found["variants"]] == ["pretrained", "finetuned"]
    for variant, encoder in zip(found["variants"], (builtin, finetuned), strict=True):
        [pair] = variant["pairs"]
        cosines = translated_cosines(encoder)
        assert (pair["pair"], pair["concepts"]) == ("en-de", 120)
        assert pair["translations"] == pytest.approx(np.diag(cosines).mean(), abs=1e-5)
        others = cosines[~np.eye(120, dtype=bool)].mean()
        assert pair["random"] == pytest.approx(others, abs=1e-5)
        assert pair["difference"] == pytest.approx(pair["translations"] - pair["random"])
        assert 1 > sum(variant["explained_variance"]) > 0


def translated_cosines(encoder) -> np.ndarray:
    """English by German preferred labels of the sample, in the order of its files."""
    from ingest.sources import SampleSource

    english, german = (
        encoder.encode_documents([row.records[0].title for row in SampleSource().rows(code)])
        for code in ("en", "de")
    )
    return english @ german.T


def test_the_table(run) -> None:
    done = run("models", "plot", "sample", "--output", "a.svg", "--concepts", 3)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == [
        "variant", "pair", "concepts", "translations", "random", "pairs", "difference",
    ]  # fmt: skip
    rows = [line.split() for line in lines[2:]]
    assert [row[:3] for row in rows] == [
        [variant, pair, "120"]
        for variant in ("pretrained", "finetuned")
        for pair in ("en-es", "en-de", "es-de")
    ]
    for *_, translations, others, difference in rows:
        assert float(difference) == pytest.approx(float(translations) - float(others), abs=0.0011)
        # A multilingual model places translations closer than random pairs.
        assert float(difference) > 0.2
    assert "the figure is in a.svg" in done.stderr
    assert Path("a.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (("--output", "a.pdf"), 2, "a.pdf: name the figure with the suffix .png or .svg"),
        (("--output", "a.png", "--languages", "en"), 2, "give two"),
        (("--output", "a.png", "--languages", "en,fr"), 2, "sample has no titles in fr"),
        (("nowhere", "--output", "a.png"), 1, "nowhere"),
        (("--output", "a.png", "--model", "no such"), 1, "no model 'no such'"),
    ],
)
def test_bad_input_is_one_line(run, words, exit_code: int, message: str) -> None:
    done = run("models", "plot", *words)
    assert done.exit_code == exit_code
    assert done.stdout == ""
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("error: ") and message in line
    assert not list(Path().iterdir())


def test_a_figure_that_cannot_be_written(run) -> None:
    Path("file").touch()
    done = run("models", "plot", "--output", "file/a.svg", "--concepts", 2)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.strip().endswith("give another `--output`")
