"""Code in data files never runs, and secrets are never shown."""

import ast
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from jobsearch.errors import ModelError
from jobsearch.models.catalog import SHIPPED
from jobsearch.models.loading import load_directory
from jobsearch.settings import Secret, Settings

pytestmark = pytest.mark.usefixtures("quick_loading")

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(p for top in ("jobsearch", "ingest", "eval") for p in (ROOT / top).rglob("*.py"))
SECRET = "s3cr3t-key-of-the-server"

#: Functions that run, or may run, code in their input. The engine's process is an exception: it
#: exchanges pickles with its parent only, over pipes that no other process can write to.
FORBIDDEN = {
    "pickle.load", "pickle.loads", "torch.load", "eval", "exec", "yaml.load", "os.system",
    "marshal.loads", "dill.load", "joblib.load", "pandas.read_pickle", "pd.read_pickle",
}  # fmt: skip
ALLOWED = {
    ("jobsearch/store/embedded/process.py", "pickle.load"),
    ("jobsearch/store/embedded/process.py", "pickle.loads"),
}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_call_may_run_code_in_its_input(path: Path) -> None:
    for name, call in calls(path):
        if (path.relative_to(ROOT).as_posix(), name) not in ALLOWED:
            assert name not in FORBIDDEN, f"line {call.lineno} calls {name}"
        for option in call.keywords:
            value = ast.unparse(option.value)
            assert (option.arg, value) not in {
                ("allow_pickle", "True"), ("trust_remote_code", "True"), ("shell", "True"),
                ("weights_only", "False"),
            }, f"line {call.lineno}"  # fmt: skip


# Models


class Planted:
    """Creates a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny transformer with mean pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"[PAD]": 0, "[UNK]": 1, "nurse": 2}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path / "model"
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    )
    wrapped.save_pretrained(tmp_path / "hf")
    config = BertConfig(
        vocab_size=3, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    BertModel(config).save_pretrained(tmp_path / "hf")
    transformer = Transformer(str(tmp_path / "hf"))
    network = SentenceTransformer(modules=[transformer, Pooling(8)], device="cpu")
    network.save(str(folder), create_model_card=False)
    assert load_directory(folder).encode(["nurse"]).shape == (1, 8)
    return folder


def test_pickled_weights_are_not_loaded(model: Path, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    for weights in model.rglob("*.safetensors"):
        weights.unlink()
    data = pickle.dumps({"weights": Planted(mark)}, protocol=2)
    (model / "pytorch_model.bin").write_bytes(data)
    with pytest.raises(ModelError, match="holds more than weights, so it is not loaded"):
        load_directory(model)
    torch.save({"weights": Planted(mark)}, model / "pytorch_model.bin")
    with pytest.raises(ModelError, match="holds more than weights, so it is not loaded"):
        load_directory(model)
    assert not mark.exists()
    # Unpickling does run the code.
    pickle.loads(data)
    assert mark.exists()


def ask_for_code(model: Path, mark: Path, key: str) -> None:
    """Add pickled weights with code, and settings that ask to load them unsafely."""
    torch.save({"x": torch.zeros(1), "weights": Planted(mark)}, model / "pytorch_model.bin")
    asked = {"weights_only": False, "use_safetensors": False, "dtype": "auto"}
    change_json(model / "sentence_bert_config.json", lambda config: {**config, key: asked})
    change_json(
        model / "config.json",
        lambda config: {k: v for k, v in config.items() if k not in ("dtype", "torch_dtype")},
    )


def change_json(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


@pytest.mark.parametrize("key", ["model_args", "model_kwargs"])
@pytest.mark.parametrize("beside", ["good weights", "nothing"])
def test_settings_that_ask_to_load_a_pickle(
    model: Path, tmp_path: Path, key: str, beside: str
) -> None:
    mark = tmp_path / "it ran"
    if beside == "nothing":
        for weights in model.rglob("*.safetensors"):
            weights.unlink()
    ask_for_code(model, mark, key)
    with pytest.raises(ModelError, match="holds more than weights, so it is not loaded"):
        load_directory(model)
    assert not mark.exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ, "only our own load is affected"


@pytest.mark.filterwarnings("ignore:SentenceTransformer.load")
def test_settings_of_a_nested_model(model: Path, tmp_path: Path) -> None:
    mark, inner = tmp_path / "it ran", tmp_path / "inner"
    shutil.copytree(model, inner)
    ask_for_code(inner, mark, "model_kwargs")
    router = model / "2_Router"
    shutil.copytree(inner, router / "query_0")
    settings = {
        "types": {"query_0": "sentence_transformers.SentenceTransformer"},
        "structure": {"query": ["query_0"]},
        "parameters": {"default_route": "query"},
    }
    (router / "router_config.json").write_text(json.dumps(settings))
    entry = {"idx": 2, "name": "2", "path": "2_Router"}
    entry["type"] = "sentence_transformers.base.modules.Router"
    change_json(model / "modules.json", lambda modules: [*modules, entry])
    with pytest.raises(ModelError, match="holds more than weights, so it is not loaded"):
        load_directory(model)
    assert not mark.exists()


@pytest.mark.parametrize("module", ["1_UseHead", "3_ConceptAnchors"])
def test_pickled_weights_of_our_own_modules(tmp_path: Path, module: str) -> None:
    mark, folder = tmp_path / "it ran", tmp_path / "model"
    shutil.copytree(SHIPPED / "builtin" / "finetuned", folder)
    assert load_directory(folder).encode(["nurse"]).shape == (1, 512)
    (folder / module / "model.safetensors").unlink()
    torch.save({"weights": Planted(mark)}, folder / module / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"No such file.*model\.safetensors"):
        load_directory(folder)
    assert not mark.exists()


PLANTED_CODE = """
from pathlib import Path
Path({mark!r}).mkdir()
from transformers import BertConfig, BertModel
class Config(BertConfig): pass
class Model(BertModel): pass
class Module: pass
"""


def code_of_the_transformer(model: Path, mark: Path) -> None:
    path = next(model.rglob("config.json"))
    config = json.loads(path.read_text())
    config["auto_map"] = {"AutoConfig": "planted.Config", "AutoModel": "planted.Model"}
    config["model_type"] = "planted"
    path.write_text(json.dumps(config))
    (path.parent / "planted.py").write_text(PLANTED_CODE.format(mark=str(mark)))


def code_that_calls_itself_trusted(model: Path, mark: Path) -> None:
    code_of_the_transformer(model, mark)
    path = model / "sentence_bert_config.json"
    config = json.loads(path.read_text())
    trust = {"trust_remote_code": True}
    arguments = ("model_args", "config_args", "tokenizer_args", "model_kwargs", "processor_kwargs")
    path.write_text(json.dumps({**config, **dict.fromkeys(arguments, trust)}))


def code_of_a_module(model: Path, mark: Path) -> None:
    path = model / "modules.json"
    modules = json.loads(path.read_text())
    modules.append({"idx": 2, "name": "2", "path": "", "type": "planted.Module"})
    path.write_text(json.dumps(modules))
    (model / "planted.py").write_text(PLANTED_CODE.format(mark=str(mark)))


def code_behind_a_router(model: Path, mark: Path) -> None:
    code_of_a_module(model, mark)
    path = model / "modules.json"
    modules = json.loads(path.read_text())
    modules[-1] |= {"path": "2_Router", "type": "sentence_transformers.base.modules.Router"}
    path.write_text(json.dumps(modules))
    (model / "2_Router" / "query_0").mkdir(parents=True)
    routes = {
        "types": {"query_0": "planted.Module"},
        "structure": {"query": ["query_0"]},
        "parameters": {"default_route": "query"},
    }
    (model / "2_Router" / "router_config.json").write_text(json.dumps(routes))


def code_beside_our_own_modules(model: Path, mark: Path) -> None:
    code_of_a_module(model, mark)
    path = model / "modules.json"
    modules = json.loads(path.read_text())
    modules.insert(0, {**modules[0], "type": "jobsearch.models.builtin.UseTokens"})
    path.write_text(json.dumps(modules))


@pytest.mark.parametrize(
    "plant",
    [
        code_of_the_transformer,
        code_that_calls_itself_trusted,
        code_of_a_module,
        code_behind_a_router,
        code_beside_our_own_modules,
    ],
)
def test_planted_code_is_not_run(
    model: Path, tmp_path: Path, plant: Callable[[Path, Path], None], monkeypatch
) -> None:
    mark = tmp_path / "it ran"
    plant(model, mark)
    # `python -m` puts the working directory on the path, too.
    monkeypatch.chdir(model)
    monkeypatch.syspath_prepend("")
    with pytest.raises(ModelError) as caught:
        load_directory(model)
    assert str(model) in str(caught.value)
    assert not mark.exists()


CONTENTS = [b"", b"{", b"[]", b"null", b"[1, 2]", b'{"a": 1}', b"[" * 100_000, bytes(range(256))]


def test_a_damaged_file_gives_one_clear_error(model: Path) -> None:
    """A model with any damaged file either loads, or fails with one line that names the model."""
    files = sorted(path for path in model.rglob("*") if path.is_file())
    assert {"modules.json", "config.json", "model.safetensors"} <= {path.name for path in files}
    for file in files:
        whole = file.read_bytes()
        for content in (whole[: len(whole) // 2], bytes(len(whole)), *CONTENTS):
            file.write_bytes(content)
            try:
                load_directory(model)
            except ModelError as error:
                assert str(model) in str(error)
                assert "\n" not in str(error)
            else:
                assert file.suffix == ".json", "truncated weights were loaded"
        file.write_bytes(whole)
    load_directory(model)


# Secrets


@pytest.mark.parametrize(
    "command",
    [
        ("collections", "list"),
        ("search", "nurse", "--to", "en"),
        ("--debug", "collections", "list"),
    ],
    ids=" ".join,
)
def test_no_output_shows_the_key(command: tuple[str, ...]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        main = "from jobsearch.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", main, *command, "--store", url],
            env={**os.environ, "JOBSEARCH_API_KEY": SECRET},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode != 0
    assert url in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_settings_do_not_show_the_key() -> None:
    settings = Settings(api_key=Secret(SECRET))
    assert SECRET not in f"{settings!r} {settings} {asdict(settings)}"
    assert SECRET not in json.dumps(asdict(settings), default=str)
    with pytest.raises(TypeError, match="a secret cannot be pickled"):
        pickle.dumps(settings)
    copied = deepcopy(replace(settings, store="other"))
    assert copied.api_key is not None
    assert copied.api_key.reveal() == SECRET


def test_a_module_outside_the_folder_is_refused(model: Path, tmp_path: Path) -> None:
    """The path of a module must stay inside the model's folder."""
    outside = tmp_path / "outside"
    shutil.copytree(model / "1_Pooling", outside)
    path = model / "modules.json"
    modules = json.loads(path.read_text())
    modules[1]["path"] = "../outside"
    path.write_text(json.dumps(modules))
    with pytest.raises(ModelError, match=r"\.\./outside"):
        load_directory(model)
