"""Which variant of a model answers a query, by the languages on both sides."""

from collections.abc import Collection

from jobsearch.errors import InvalidInput, VariantNotFound
from jobsearch.settings import VariantChoice
from jobsearch.types import Variant


def choose_variant(
    choice: VariantChoice,
    query_language: str | None,
    target_language: str,
    available: Collection[Variant],
) -> Variant:
    """Choose a variant for one pair of languages.

    ``auto`` takes the fine-tuned one where there is one. ``paper`` does as DS@GT at TalentCLEF 2025
    did: fine-tuned within a language, pretrained across languages. A variant by name is taken as it
    is.

    Args:
        choice: a variant or a policy.
        query_language: ISO 639-1 code, None if unknown.
        target_language: ISO 639-1 code of the collection.
        available: variants that the collection's language has been ingested with.

    Raises:
        InvalidInput: ``paper`` was asked for without the language of the query.
        VariantNotFound: the chosen variant is not available.
    """
    wanted: Variant
    if choice == "paper":
        if query_language is None:
            raise InvalidInput(
                "the policy 'paper' needs the language of the query: add --from LANG"
            )
        wanted = "finetuned" if query_language == target_language else "pretrained"
    elif choice == "auto":
        wanted = "finetuned" if "finetuned" in available else "pretrained"
    else:
        wanted = choice
    if wanted not in available:
        raise VariantNotFound(
            f"there is no {wanted} collection for {target_language!r}, only "
            f"{', '.join(sorted(available))}: leave out --variant, or ingest with "
            f"--variant {wanted}"
        )
    return wanted
