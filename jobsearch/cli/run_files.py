"""``jobsearch eval validate``, ``package`` and ``score``: for TREC run files of any system."""

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
# Findings of one kind to print.
_SHOWN = 3
_UNCHECKED = "ids were not checked: give the TalentCLEF data with --against"


def _against(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name the data to check runs against."""
    options = [
        click.option(
            "--against",
            type=Place(exists=True),
            help="Folder or zip of TalentCLEF; the ids in the runs are checked against it.",
        ),
        click.option(
            "--split",
            default="test",
            show_default=True,
            help="Split of the TalentCLEF data.",
        ),
        click.option(
            "--pairs",
            type=PAIRS,
            help="Pair of languages of each run, in the order of the runs; taken from the file "
            "names, such as run_en-es_TEAM.trec, if left out.",
        ),
    ]
    return with_options(command, options)


@click.command()
@click.argument("runs", type=_FILE, nargs=-1, required=True)
@_against
@click.option(
    "--depth",
    type=click.IntRange(min=1),
    help="Expected length of every ranking; the size of the corpus with --against.",
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
    """Find mistakes in TREC run files before they are submitted.

    An error makes the official scorer fail, or score another ranking than that of the file. A
    warning may show a mistake, or stops other readers of runs. Exits 1 if there are errors. Without
    --against, ids are not checked.
    """
    from eval.runs.check import check_run

    expected = _expected(runs, against, split, pairs)
    checked = {path: check_run(path, expected.get(path), depth) for path in runs}
    errors = sum(
        f.count for findings in checked.values() for f in findings if f.severity == "error"
    )
    if json_:
        print_json(
            {
                "runs": [
                    {"run": str(path), "findings": [asdict(finding) for finding in findings]}
                    for path, findings in checked.items()
                ]
            }
        )
    else:
        for path, findings in checked.items():
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
    # Errors first, grouped by kind. A wrong pair comes first, because it causes most other errors.
    kinds = groupby(
        sorted(findings, key=lambda f: (f.severity, f.kind != "pair", f.kind)), lambda f: f.kind
    )
    for _, group in kinds:
        same = list(group)
        rows += [(f.severity, f.where, f.what, f.fix) for f in same[:_SHOWN]]
        if hidden := sum(f.count for f in same[_SHOWN:]):
            rows.append((same[0].severity, "", f"{hidden:,} more like it: see --json", ""))
    print_text(path)
    print_table(rows, ("", "where", "what", "do this"))


@click.command()
@click.argument("runs", type=_FILE, nargs=-1, required=True)
@click.option("--team", required=True, help="Name of the team, for the file names.")
@click.option(
    "--out",
    type=Place(dir_okay=False),
    required=True,
    help="Zip file to write.",
)
@_against
@click.option("--replace", is_flag=True, help="Overwrite an earlier zip.")
def package(
    runs: tuple[Path, ...],
    team: str,
    out: Path,
    against: Path | None,
    split: str,
    pairs: tuple[str, ...] | None,
    replace: bool,
) -> None:
    """Write the zip file for a TalentCLEF submission from TREC run files.

    Runs for en-en, es-es and de-de are required. Rankings keep their order; scores are rewritten
    so that they decrease strictly.
    """
    from eval.runs.check import check_run
    from eval.runs.submission import CORRECTED
    from eval.runs.submission import package as write

    run_of_pair = _pairs(runs, pairs)
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
    for name in write(run_of_pair, team, out, replace=replace):
        print_text(name)
    if not against:
        note(_UNCHECKED)
    note(f"written to {out}")


@click.command()
@click.argument("run", type=_FILE)
@click.argument("qrels", type=_FILE)
@click.option("--per-query", is_flag=True, help="Also print the metrics of every query.")
@as_json
def score(run: Path, qrels: Path, per_query: bool, json_: bool) -> None:
    """Compute all metrics of a TREC RUN file with the judgements in QRELS.

    Documents with equal scores are ranked as in the file, and the queries that have such documents
    are counted.
    """
    from eval.benchmarks.base import read_qrels
    from eval.metrics import MEASURES
    from eval.metrics import score as compute
    from eval.runs.trec import read_run_file
    from ingest.sources.files import text_lines

    contents = read_run_file(run)
    ranked = contents.rankings
    judged = read_qrels(text_lines(lambda: qrels.open("rb"), str(qrels)), str(qrels))
    if not judged.keys() & ranked.keys():
        raise BenchmarkError(
            f"no query of {run} is judged in {qrels}: give the judgements of the same queries"
        )
    scores = compute(ranked, judged)
    tied = [q_id for q_id in contents.tied_queries if q_id in judged]
    if json_:
        print_json(
            {
                "queries": len(judged),
                "metrics": dict(scores.means),
                "missing_queries": list(scores.missing_queries),
                "unjudged_queries": list(scores.unjudged_queries),
                "tied_queries": tied,
                "tie_order": "file",
                "repeated_documents": contents.repeated,
                **({"per_query": scores.per_query} if per_query else {}),
            }
        )
        return
    rows = [("all", *(f"{scores.means[name]:.4f}" for name in MEASURES))]
    if per_query:
        rows += [
            (q_id, *(f"{values[name]:.4f}" for name in MEASURES))
            for q_id, values in scores.per_query.items()
        ]
    print_table(rows, ("query", *MEASURES))
    note(f"{len(judged):,} judged queries")
    for ids, problem in (
        (scores.missing_queries, "judged queries have no ranking and score 0"),
        (scores.unjudged_queries, "queries of the run are not judged and are ignored"),
        (
            tied,
            "judged queries have documents with equal scores, which are ranked as in the file "
            "(trec_eval: by id, descending; TalentCLEF's scorer: in any order)",
        ),
    ):
        if ids:
            note(f"{len(ids):,} {problem}: {', '.join(ids[:5])}{' …' if len(ids) > 5 else ''}")
    if contents.repeated:
        note(
            f"{contents.repeated:,} lines rank a document again for the same query; the last line "
            "of a document counts"
        )


def _pairs(runs: Sequence[Path], pairs: Sequence[str] | None) -> dict[str, Path]:
    """Pair of languages -> run; the pairs come from ``--pairs`` or from the file names."""
    from eval.runs.check import pair_of_name

    run_of_pair: dict[str, Path] = {}
    if pairs and len(pairs) != len(runs):
        raise BenchmarkError(f"{len(pairs)} --pairs for {len(runs)} runs: give one pair per run")
    for path, pair in zip(runs, pairs or map(pair_of_name, runs), strict=True):
        if not pair:
            raise BenchmarkError(
                f"{path}: the file name has no pair of languages, as in run_en-es_TEAM.trec: "
                "rename the file or give --pairs"
            )
        if pair in run_of_pair:
            raise BenchmarkError(
                f"{run_of_pair[pair]} and {path} are both for {pair}: give one of them"
            )
        run_of_pair[pair] = path
    return run_of_pair


def _expected(
    runs: Sequence[Path], against: Path | None, split: str, pairs: Sequence[str] | None
) -> "dict[Path, Expected]":
    """Run -> the ids that it should have; empty without ``--against``."""
    from eval.benchmarks.talentclef import ids_of_split
    from eval.runs.check import expected_for

    if not against:
        return {}
    ids = ids_of_split(against, split)
    return {path: expected_for(pair, ids) for pair, path in _pairs(runs, pairs).items()}
