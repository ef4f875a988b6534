"""``jobsearch doctor``: checks the machine, the store and the model."""

import importlib.metadata
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from jobsearch.api import Jobs
from jobsearch.cli.options import as_json, jobs_of, with_settings
from jobsearch.cli.output import note, print_json, print_table, with_flags
from jobsearch.errors import JobSearchError, StoreUnavailable
from jobsearch.settings import Settings

if TYPE_CHECKING:
    from jobsearch.store.protocol import CollectionInfo, Store

_LIBRARIES = (
    "jobsearch", "torch", "sentence-transformers", "qdrant-client", "qdrant-edge-py", "numpy",
)  # fmt: skip
_MIN_FREE_MB = 1024
_MIN_OPEN_FILES = 1024
# Tolerance for the clocks of different machines.
_FUTURE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check, with advice if it is not ok."""

    check: str
    status: Literal["ok", "warning", "failed"]
    found: str
    advice: str = ""


@click.command()
@with_settings
@as_json
def doctor(settings: Settings, json_: bool) -> None:
    """Check this machine, the store and the model; exits 1 if anything is wrong.

    Nothing is changed, and no secret is shown, so the output can be shared.
    """
    findings: list[Finding] = []
    unreachable = False
    for name, check in _checks(settings, jobs_of(settings)):
        try:
            findings += check()
        except StoreUnavailable as error:
            unreachable = True
            findings.append(Finding(name, "failed", with_flags(str(error))))
        except JobSearchError as error:
            findings.append(Finding(name, "failed", with_flags(str(error))))
        except Exception as error:
            # A broken check is a finding too.
            findings.append(Finding(name, "failed", f"{type(error).__name__}: {error}"))
    if json_:
        print_json({"checks": [asdict(finding) for finding in findings]})
    else:
        rows = [(f.status, f.check, f.found) for f in findings]
        print_table(rows, headers=("", "check", "found"))
        for finding in findings:
            if finding.advice:
                note(f"{finding.check}: {finding.advice}")
    if unreachable:
        raise click.exceptions.Exit(StoreUnavailable.exit_code)
    if any(finding.status == "failed" for finding in findings):
        raise click.exceptions.Exit(1)


def _checks(settings: Settings, jobs: Jobs) -> Iterator[tuple[str, Callable[[], list[Finding]]]]:
    yield "versions", _versions
    yield "disk", lambda: _disk(settings)
    yield "open files", _open_files
    yield "store", lambda: _store(jobs)
    yield "model", lambda: _models(jobs)


def _versions() -> list[Finding]:
    from jobsearch.models.encoder import device_name

    versions = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
    machine = f"Python {platform.python_version()}, {device_name()}"
    return [Finding("versions", "ok", ", ".join([*versions, machine]))]


def _disk(settings: Settings) -> list[Finding]:
    from jobsearch.store.location import is_server

    if is_server(settings.store):
        return []
    path = Path(settings.store).absolute()
    # The store need not exist yet.
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(existing).free >> 20
    if free < _MIN_FREE_MB:
        advice = "make room, or give --store a folder on another disk"
        return [Finding("disk", "warning", f"{free:,} MB free at {existing}", advice)]
    return [Finding("disk", "ok", f"{free:,} MB free at {existing}")]


def _open_files() -> list[Finding]:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return []
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= limit < _MIN_OPEN_FILES:
        advice = f"`ulimit -n {_MIN_OPEN_FILES}` before jobsearch: an index has many files"
        return [Finding("open files", "warning", f"at most {limit:,}", advice)]
    return [Finding("open files", "ok", f"at most {limit:,}")]


def _store(jobs: Jobs) -> list[Finding]:
    store = jobs.store
    infos = store.collections()
    if not infos and not store.leftovers():
        advice = "`jobsearch ingest sample` fills it"
        return [Finding("store", "warning", f"{store.location} has no collections", advice)]
    points = sum(info.points for info in infos)
    found = f"{store.location}: {len(infos)} collections, {points:,} points"
    names = {info.name for info in infos}
    dangling = [alias for alias, target in store.aliases().items() if target not in names]
    findings = [Finding("store", "ok", found)]
    findings += [
        Finding(alias, "failed", "points at nothing", "ingest its titles again")
        for alias in dangling
    ]
    findings += [
        Finding(
            name,
            "warning",
            "files of a deleted collection, left by a process that was killed",
            "`jobsearch collections prune` deletes them",
        )
        for name in store.leftovers()
    ]
    return findings + [_collection(store, info) for info in infos]


def _collection(store: "Store", info: "CollectionInfo") -> Finding:
    name = ", ".join(info.aliases) or info.name
    metadata = info.metadata
    if metadata.status != "ready":
        found = f"a build that began at {metadata.created_at} and was not finished"
        advice = "if no ingest is running: `jobsearch collections prune`, or `ingest … --resume`"
        return Finding(name, "warning", found, advice)
    try:
        # This opens the files: the metadata do not show damage.
        counted = store.count(info.name)
    except JobSearchError as error:
        return Finding(name, "failed", with_flags(str(error)))
    if counted != metadata.expected_points:
        found = f"{counted:,} points, {metadata.expected_points:,} expected"
        return Finding(name, "failed", found, "ingest its titles again")
    if datetime.fromisoformat(metadata.created_at) > datetime.now(UTC) + _FUTURE:
        found = f"made at {metadata.created_at}, which is in the future"
        advice = "set this machine's clock: builds are ordered by their time"
        return Finding(name, "warning", found, advice)
    kept = "" if info.aliases else ", kept for a rollback"
    return Finding(name, "ok", f"{counted:,} points{kept}")


def _models(jobs: Jobs) -> list[Finding]:
    from jobsearch.store import check_collection

    findings = []
    for variant in jobs.variants():
        encoder = jobs.encoder(variant).info
        label = f"{encoder.model} {variant}"
        findings.append(Finding(label, "ok", f"{encoder.model_id}, {encoder.dim} dimensions"))
        for info in jobs.collections():
            made_by = info.metadata.encoder
            if not info.aliases or (made_by.model, made_by.variant) != (encoder.model, variant):
                continue
            try:
                language = info.metadata.language
                check_collection(info.aliases[0], info.metadata, language=language, encoder=encoder)
            except JobSearchError as error:
                name = f"{label} and {info.aliases[0]}"
                findings.append(Finding(name, "failed", with_flags(str(error))))
    return findings
