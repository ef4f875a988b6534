"""``jobsearch search``: one query, a table of titles."""

from typing import TYPE_CHECKING

import click

from jobsearch.cli.options import ISCO_CODES, LANGUAGES, as_json, jobs_of, with_settings
from jobsearch.cli.output import note, print_json, print_table, with_flags
from jobsearch.settings import Settings
from jobsearch.types import KINDS

if TYPE_CHECKING:
    from jobsearch.search.engine import SearchResult


@click.command()
@click.argument("text")
@click.option(
    "--to", type=LANGUAGES, help="Languages to search in; all languages of the store if left out."
)
@click.option(
    "--from", "query_language", type=LANGUAGES, metavar="LANG", help="Language of the query."
)
@click.option(
    "--isco",
    type=ISCO_CODES,
    default=(),
    help="ISCO-08 codes of one to four digits, such as 2 or 2221.",
)
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(KINDS),
    multiple=True,
    help="Kind of title; may be repeated.",
)
@click.option("--concept", "concept_ids", multiple=True, help="Concept id; may be repeated.")
@click.option("--source", "sources", multiple=True, help="Data set; may be repeated.")
@click.option("--split", "splits", multiple=True, help="Part of a data set; may be repeated.")
@click.option("--top", type=int, default=10, show_default=True, help="Number of hits.")
@click.option("--min-score", type=float, help="Lowest cosine of a hit.")
@click.option(
    "--group-by",
    type=click.Choice(["concept"]),
    help="One hit per concept, its best title over all languages.",
)
@click.option("--exact", is_flag=True, help="Compare with every title, without the index.")
@with_settings
@as_json
def search(
    settings: Settings,
    text: str,
    to: tuple[str, ...] | None,
    query_language: tuple[str, ...] | None,
    isco: tuple[str, ...],
    kinds: tuple[str, ...],
    concept_ids: tuple[str, ...],
    sources: tuple[str, ...],
    splits: tuple[str, ...],
    top: int,
    min_score: float | None,
    group_by: str | None,
    exact: bool,
    json_: bool,
) -> None:
    """Find the titles that mean the same job as TEXT, which may be in any language.

    Example: jobsearch search "Krankenschwester" --to en,es --isco 2 --group-by concept
    """
    if query_language and len(query_language) > 1:
        raise click.BadParameter("give one language", param_hint="--from")
    result = jobs_of(settings).search(
        text,
        to=to,
        query_language=query_language[0] if query_language else None,
        top=top,
        isco=isco,
        kinds=kinds,
        concept_ids=concept_ids,
        sources=sources,
        splits=splits,
        group_by_concept=group_by == "concept",
        exact=exact,
        min_score=min_score,
    )
    notes = [with_flags(text) for text in result.notes]
    if json_:
        print_json({**result.as_dict(), "notes": notes})
        return
    if result.hits:
        _print_hits(result, text)
        variants = list(dict.fromkeys(hit.variant for hit in result.hits))
        # Cosines of several variants cannot be compared; a note of the result says so.
        direction = ", higher is better" if len(variants) == 1 else ""
        note(f"{settings.model} {' and '.join(variants)}; scores are cosines{direction}")
    for each in notes:
        note(each)


def _print_hits(result: "SearchResult", text: str) -> None:
    if result.normalized != text:
        note(f"searched for: {result.normalized}")
    print_table(
        [
            (f"{h.score:.3f}", h.title, h.language, h.isco, h.kind, h.concept_id or h.doc_id)
            for h in result.hits
        ],
        headers=("score", "title", "lang", "ISCO", "kind", "concept"),
    )
