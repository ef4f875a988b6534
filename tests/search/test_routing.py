import pytest

from jobsearch.errors import InvalidInput, VariantNotFound
from jobsearch.search import choose_variant

BOTH = ("pretrained", "finetuned")


@pytest.mark.parametrize(
    ("choice", "query", "target", "available", "expected"),
    [
        ("auto", None, "en", BOTH, "finetuned"),
        ("auto", "de", "en", ("pretrained",), "pretrained"),
        ("paper", "en", "en", BOTH, "finetuned"),
        ("paper", "de", "en", BOTH, "pretrained"),
        ("pretrained", None, "en", BOTH, "pretrained"),
        ("finetuned", None, "en", BOTH, "finetuned"),
    ],
)
def test_choice(choice, query, target, available, expected) -> None:
    assert choose_variant(choice, query, target, available) == expected


def test_the_papers_policy_needs_the_language_of_the_query() -> None:
    with pytest.raises(InvalidInput, match="give `query_language`"):
        choose_variant("paper", None, "en", BOTH)


@pytest.mark.parametrize("choice", ["finetuned", "paper"])
def test_variant_that_is_not_there(choice) -> None:
    with pytest.raises(VariantNotFound, match="no finetuned collection for 'en', only pretrained"):
        choose_variant(choice, "en", "en", ("pretrained",))
