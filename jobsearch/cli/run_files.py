"""``jobsearch eval validate``, ``package`` and ``score``: anybody's TREC run files."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobsearch.cli.options import PAIRS, Place, as_json, with_options
from jobsearch.cli.output import note, print_json, print_table, print_text
from jobsearch.errors import BenchmarkError

if TYPE_CHECKING:
    from eval.runs.check import Expected, Finding

_FILE = Place(exists=True, dir_okay=False)
# Findings of one kind that are printed.
_SHOWN = 3
_UNCHECKED = "ids were not checked: name the data with --against"


def _against(command: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.option(
            "--against",
            type=Place(exists=True),
            help="TalentCLEF's folder or zip, whose ids the runs are checked with.",
        ),
        click.option(
            "--split",
            default="test",
            show_default=True,
            help="The part of it that is checked with.",
        ),
        click.option(
            "--pairs",
            type=PAIRS,
            help="Pair of languages of each run, in their order; told by the file names, as in "
            "run_en-es_TEAM.trec, if left out.",
        ),
    ]
    return with_options(command, options)


@click.command()
@click.argument("runs", type=_FILE, nargs=-1, required=True)
@_against
@click.option(
    "--depth",
    type=click.IntRange(min=1),
    help="Length that every ranking should have; with --against, that of the corpus.",
)
@as_json
def validate(
    runs: tuple[Path, ...],
    against: Path | None,
    split: str,
    pairs: tuple[str, ...] | None,
    depth: int | None,
    json_: bool,
) -> None:
    """Find what the official scorer trips over in TREC run files.

    Exits 1 if there is an error; a warning is not one. Without --against the ids are not checked.
    """
    from eval.runs.check import check_run

    expected = _expected(runs, against, split, pairs)
    found = {path: check_run(path, expected.get(path), depth) for path in runs}
    errors = sum(f.count for findings in found.values() for f in findings if f.severity == "error")
    if json_:
        print_json(
            {
                "runs": [
                    {"run": str(path), "findings": [asdict(finding) for finding in findings]}
                    for path, findings in found.items()
                ]
            }
        )
    else:
        for path, findings in found.items():
            _print(path, findings)
    if not against:
        note(_UNCHECKED)
    if errors:
        raise BenchmarkError(f"{errors:,} errors: correct the runs before you submit them")


def _print(path: Path, findings: "Sequence[Finding]") -> None:
    if not findings:
        print_text(f"{path}: nothing found")
        return
    rows = []
    # Errors first, each kind together; a run for another pair explains most of the others.
    kinds = groupby(
        sorted(findings, key=lambda f: (f.severity, f.kind != "pair", f.kind)), lambda f: f.kind
    )
    for _, found in kinds:
        same = list(found)
        rows += [(f.severity, f.where, f.what, f.fix) for f in same[:_SHOWN]]
        if hidden := sum(f.count for f in same[_SHOWN:]):
            rows.append((same[0].severity, "", f"{hidden:,} more like it: see --json", ""))
    print_text(path)
    print_table(rows, ("", "where", "what", "do this"))


@click.command()
@click.argument("runs", type=_FILE, nargs=-1, required=True)
@click.option("--team", required=True, help="Name of the team: it stands in every file name.")
@click.option(
    "--out",
    type=Place(dir_okay=False),
    required=True,
    help="Zip file to write.",
)
@_against
@click.option("--replace", is_flag=True, help="Write over an earlier zip.")
def package(
    runs: tuple[Path, ...],
    team: str,
    out: Path,
    against: Path | None,
    split: str,
    pairs: tuple[str, ...] | None,
    replace: bool,
) -> None:
    """Write the zip that TalentCLEF asks for, from the runs for en-en, es-es, de-de and others.

    Rankings keep their order; scores are rewritten to fall strictly.
    """
    from eval.runs.check import check_run
    from eval.runs.submission import CORRECTED
    from eval.runs.submission import package as write

    named = _pairs(runs, pairs)
    expected = _expected(runs, against, split, pairs)
    for path in runs:
        serious = [
            finding
            for finding in check_run(path, expected.get(path))
            if finding.severity == "error" and finding.kind not in CORRECTED
        ]
        if serious:
            count = sum(finding.count for finding in serious)
            raise BenchmarkError(
                f"{path}, {serious[0].where}: {serious[0].what} ({count:,} errors): see "
                "`jobsearch eval validate` with the same options"
            )
    for name in write(named, team, out, replace=replace):
        print_text(name)
    if not against:
        note(_UNCHECKED)
    note(f"written to {out}")


@click.command()
@click.argument("run", type=_FILE)
@click.argument("qrels", type=_FILE)
@click.option("--per-query", is_flag=True, help="Every query, too.")
@as_json
def score(run: Path, qrels: Path, per_query: bool, json_: bool) -> None:
    """Score anybody's TREC RUN with the judgements QRELS."""
    from eval.benchmarks.base import read_qrels
    from eval.metrics import MEASURES
    from eval.metrics import score as compute
    from eval.runs.trec import read_run
    from ingest.sources.files import text_lines

    ranked = read_run(run)
    judged = read_qrels(text_lines(lambda: qrels.open("rb"), str(qrels)), str(qrels))
    if not judged.keys() & ranked.keys():
        raise BenchmarkError(
            f"no query of {run} is judged in {qrels}: give those that belong together"
        )
    found = compute(ranked, judged)
    if json_:
        print_json(
            {
                "queries": len(judged),
                "metrics": dict(found.means),
                "missing_queries": list(found.missing_queries),
                "unjudged_queries": list(found.unjudged_queries),
                **({"per_query": found.per_query} if per_query else {}),
            }
        )
        return
    rows = [("all", *(f"{found.means[name]:.4f}" for name in MEASURES))]
    if per_query:
        rows += [
            (q_id, *(f"{values[name]:.4f}" for name in MEASURES))
            for q_id, values in found.per_query.items()
        ]
    print_table(rows, ("query", *MEASURES))
    note(f"{len(judged):,} judged queries")
    for ids, what in (
        (found.missing_queries, "judged queries have no ranking and score 0"),
        (found.unjudged_queries, "queries of the run are not judged and count for nothing"),
    ):
        if ids:
            note(f"{len(ids):,} {what}: {', '.join(ids[:5])}{' …' if len(ids) > 5 else ''}")


def _pairs(runs: Sequence[Path], pairs: Sequence[str] | None) -> dict[str, Path]:
    """Pair of languages -> run."""
    from eval.runs.check import pair_of_name

    named: dict[str, Path] = {}
    if pairs and len(pairs) != len(runs):
        raise BenchmarkError(f"{len(pairs)} --pairs for {len(runs)} runs: give one for each")
    for path, pair in zip(runs, pairs or map(pair_of_name, runs), strict=True):
        if not pair:
            raise BenchmarkError(
                f"{path}: the name does not tell the languages, as run_en-es_TEAM.trec would: "
                "give --pairs"
            )
        if pair in named:
            raise BenchmarkError(f"{named[pair]} and {path} are both for {pair}: give one of them")
        named[pair] = path
    return named


def _expected(
    runs: Sequence[Path], against: Path | None, split: str, pairs: Sequence[str] | None
) -> "dict[Path, Expected]":
    from eval.benchmarks.talentclef import ids_of_split
    from eval.runs.check import expected_for

    if not against:
        return {}
    ids = ids_of_split(against, split)
    return {path: expected_for(pair, ids) for pair, path in _pairs(runs, pairs).items()}
