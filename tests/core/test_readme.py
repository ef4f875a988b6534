"""The Python example in README.md runs as it stands."""

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_python_example_prints_hits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = re.search(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    assert example
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    exec(compile(example[1], str(README), "exec"), {})
    best, second, third, titles, heading, *_ = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"hospital nurse 0\.\d{1,3}", best)
    assert "nurse" in second and "nurse" in third
    assert titles == "['cook', 'class teacher']"
    assert heading == "sample: MAP within a language"
