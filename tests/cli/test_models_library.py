"""``jobsearch models show``, ``add`` and ``remove``."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from jobsearch.models.catalog import SHIPPED

pytestmark = pytest.mark.usefixtures("quick_loading")

Run = Callable[..., Result]
FINETUNED = Path("models/builtin/finetuned")


def origin(run: Run) -> str:
    listed = json.loads(run("models", "list", "--json").stdout)["models"]
    return next(entry for entry in listed if entry["name"] == "builtin")["finetuned"]


def test_add_remove_and_add_again(run: Run, models_dir: Path) -> None:
    assert origin(run) == str(SHIPPED / "builtin" / "finetuned")
    source = models_dir / "builtin" / "finetuned"
    assert "--of MODEL" in run("models", "add", source).stderr
    added = run("models", "add", source, "--of", "builtin", "--json")
    assert json.loads(added.stdout) == {"added": str(FINETUNED)}
    assert origin(run) == str(FINETUNED)

    again = run("models", "add", source, "--of", "builtin")
    assert (again.exit_code, "--replace" in again.stderr) == (1, True)
    assert run("models", "add", source, "--of", "builtin", "--replace").exit_code == 0
    assert FINETUNED.with_name("finetuned.previous").is_dir()

    removed = run("models", "remove", "builtin")
    assert removed.exit_code == 0
    assert origin(run) == str(SHIPPED / "builtin" / "finetuned")
    # The printed command restores the variant.
    command = removed.stderr.split("jobsearch ")[1].split()
    assert run(*command).exit_code == 0
    assert origin(run) == str(FINETUNED)


def test_a_missing_variant_cannot_be_removed(run: Run) -> None:
    result = run("models", "remove", "builtin")
    assert result.exit_code == 1
    assert "models holds no finetuned variant of builtin" in result.stderr
    assert origin(run)


def test_only_models_without_code_can_be_added(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    result = run("models", "add", tmp_path / "other", "--of", "builtin")
    assert result.exit_code == 1
    assert "cannot be loaded as a SentenceTransformer" in result.stderr
    (tmp_path / "other" / "modules.json").write_text(
        '[{"idx": 0, "name": "0", "path": "", "type": "evil.Module"},'
        ' {"idx": 1, "name": "1", "path": "", "type": "jobsearch.models.builtin.UseTokens"}]'
    )
    result = run("models", "add", tmp_path / "other", "--of", "builtin")
    assert "code of its own" in result.stderr
    assert not FINETUNED.exists()


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_card(run: Run, models_dir: Path, tmp_path: Path, content: str) -> None:
    added = run("models", "add", models_dir / "builtin" / "finetuned", "--of", "builtin")
    assert added.exit_code == 0
    (tmp_path / FINETUNED / "training.json").write_text(content)
    result = run("models", "show", "builtin")
    assert result.exit_code == 1
    assert "training.json" in result.stderr


def test_show_the_variant_that_ships(run: Run) -> None:
    shown = json.loads(run("models", "show", "--json").stdout)
    assert shown["card"]["chosen"]["alpha"] > 0
    assert {source["language"] for source in shown["card"]["data"]} == {"de", "en", "es"}
    variants = shown["variants"]
    assert variants["pretrained"]["fingerprint"] != variants["finetuned"]["fingerprint"]
    assert variants["finetuned"]["pooling"].endswith("ConceptAnchors")
    text = run("models", "show", "builtin").stdout
    assert variants["finetuned"]["fingerprint"] in text
    assert "## Limits" in text


def test_control_characters_in_the_readme_of_a_model_are_escaped(
    run: Run, models_dir: Path, tmp_path: Path
) -> None:
    run("models", "add", models_dir / "builtin" / "finetuned", "--of", "builtin")
    (tmp_path / FINETUNED / "README.md").write_bytes(b"# Card\n\x1b]0;owned\x07\xff\n")
    shown = run("models", "show", "builtin").stdout
    assert shown.endswith("\n# Card\n\\u001b]0;owned\\u0007\ufffd\n")


def test_show_a_model_that_is_not_downloaded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    shown = run("models", "show", "mpnet", "--json")
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["variants"] == {"pretrained": None}
    assert "hf download" in shown.stderr
