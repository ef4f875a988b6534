"""Chooses the variant of the model for each language."""

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
    """Choose the variant of the model for one pair of languages.

    ``auto`` takes the fine-tuned variant if there is one. ``paper`` does as DS@GT at TalentCLEF
    2025: fine-tuned within a language, pretrained across languages.

    Args:
        choice: a variant or a policy.
        query_language: ISO 639-1 code, None if unknown.
        target_language: ISO 639-1 code of the collection.
        available: variants that the titles of this language were ingested with.

    Raises:
        InvalidInput: ``paper`` was chosen without the language of the query.
        VariantNotFound: the chosen variant is not available.
    """
    wanted: Variant
    if choice == "paper":
        if query_language is None:
            raise InvalidInput(
                "the policy 'paper' needs the language of the query: give `query_language`"
            )
        wanted = "finetuned" if query_language == target_language else "pretrained"
    elif choice == "auto":
        wanted = "finetuned" if "finetuned" in available else "pretrained"
    else:
        wanted = choice
    if wanted not in available:
        raise VariantNotFound(
            f"there is no {wanted} collection for {target_language!r}, only "
            f"{', '.join(sorted(available))}: leave out `variant`, or ingest the titles with "
            f'`variant="{wanted}"`'
        )
    return wanted
