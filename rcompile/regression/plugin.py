"""Plugin: what pytest sees of checks. pytest loads it in every project where rcompile is installed: nothing of ours is
imported before there is a check.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rcompile.errors import RcompileError

if TYPE_CHECKING:
    from pandas import DataFrame

    from rcompile.regression.check import Check
    from rcompile.regression.run import Outcome

ENDING = ".rcheck.toml"
SECTION = "Captured rcompile call"  # as pytest calls the section `rcompile`
RECORD = "rcompile_check"  # what a report carries from an xdist worker to its controller


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plugin's options."""
    group = parser.getgroup("rcompile", "regression tests under fault injection")
    group.addoption("--rcompile-strict", action="store_true", help="a check that too few dies decide fails")
    group.addoption("--rcompile-update", action="store_true", help="write the baselines of checks anew")
    group.addoption("--rcompile-report", type=Path, metavar="FILE", help="write what all checks found, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Gather reports, unless this is a worker of another that does."""
    if config.getoption("rcompile_report") is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Report(config), "rcompile-report")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A file of checks."""
    return CheckFile.from_parent(parent, path=file_path) if file_path.name.endswith(ENDING) else None


class CheckFile(pytest.File):
    """A `*.rcheck.toml`."""

    def collect(self) -> Iterable[pytest.Item]:
        """Its checks."""
        from rcompile.regression.check import read_checks

        try:
            checks = read_checks(self.path)
        except RcompileError as error:
            raise self.CollectError(str(error)) from None
        for line, check in checks:
            yield CheckItem.from_parent(self, name=check.name, line=line, check=check)


class CheckItem(pytest.Item):
    """One check."""

    def __init__(self, *, line: int, check: Check, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.line, self.check = line, check
        self.record: dict[str, Any] | None = None
        if self.config.pluginmanager.hasplugin("xdist"):  # which opens a bundle once, with --dist loadgroup
            source = check.bundle or check.model
            assert source is not None
            self.add_marker(pytest.mark.xdist_group(f"{source.stem}-{check.target or 'bundle'}-{check.protect}"))

    def runtest(self) -> None:
        """Score and judge it. Raises RcompileError; a CheckFailed where it is not as the check asks."""
        from rcompile.regression.run import Place, run_check
        from rcompile.regression.show import described, properties, record

        update = self.config.getoption("rcompile_update")
        with _cache(self.config) as cache:
            outcome: Outcome = run_check(self.check, Place(self.path.parent, cache, _threads()), update)
        self.user_properties += properties(outcome)
        self.record = record(outcome)
        if outcome.verdict == "fail" or (outcome.verdict == "undecided" and self.config.getoption("rcompile_strict")):
            raise CheckFailed(described(outcome))
        if outcome.verdict == "undecided":
            self.add_report_section("call", "rcompile", described(outcome))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What a person needs: no traceback."""
        if isinstance(excinfo.value, (CheckFailed, RcompileError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it is asked."""
        return self.path, self.line - 1, self.name


class CheckFailed(Exception):
    """A check whose verdict is not `pass`."""


@contextmanager
def _cache(config: pytest.Config) -> Iterator[Path]:
    """Where what is computed once is kept: with pytest's own cache, if it has one."""
    if config.pluginmanager.hasplugin("cacheprovider") and config.cache is not None:
        yield config.cache.mkdir("rcompile")
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _threads() -> int:
    """A session's share of the cores."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return max(1, len(os.sched_getaffinity(0)) // workers)


@pytest.fixture
def rcompile_campaign(request: pytest.FixtureRequest) -> Callable[..., DataFrame]:
    """`rcompile.campaign` whose results pytest's cache keeps: call it with a study, a TOML file as seen from the test's
    or a mapping, and options of `run_campaign`; by default one process computes, with all threads.
    """

    def campaign(study: str | Path | Mapping[str, Any], **options: Any) -> DataFrame:
        import rcompile
        from rcompile.regression.run import waiting_for

        asked = study if isinstance(study, Mapping) else request.path.parent / study
        text = json.dumps(asked, sort_keys=True, default=str)
        with _cache(request.config) as cache:
            out = cache / f"campaign-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
            with waiting_for(out.with_suffix(".lock")):
                return rcompile.campaign(asked, out, **{"workers": 1} | options)

    return campaign


@pytest.hookimpl(hookwrapper=True)  # which every pytest knows: this is loaded in projects without checks, too
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Have the report carry what was found."""
    report = (yield).get_result()
    if isinstance(item, CheckItem) and call.when == "call":
        root = item.config.rootpath
        place = item.path.relative_to(root) if item.path.is_relative_to(root) else item.path
        found = item.record or {
            "check": item.name,
            "verdict": "error",
            "message": str(call.excinfo and call.excinfo.value),
        }
        setattr(report, RECORD, {"file": place.as_posix(), "outcome": report.outcome, **found})


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """A check that passes because it is not decided looks so."""
    found = getattr(report, RECORD, None)
    if found and report.passed and found["verdict"] == "undecided":
        return "undecided", "u", ("UNDECIDED", {"yellow": True})
    return None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What is not decided, in full: it is no error, and no success."""
    undecided = terminalreporter.stats.get("undecided", ())
    if undecided:
        terminalreporter.section("rcompile: undecided", yellow=True)
    for report in undecided:
        for name, text in report.sections:
            if name == SECTION:
                terminalreporter.write_line(text)


class _Report:
    """Gathers what checks found, from xdist's workers too, for --rcompile-report."""

    def __init__(self, config: pytest.Config) -> None:
        self.path: Path = config.invocation_params.dir / config.getoption("rcompile_report")
        self.checks: list[dict[str, Any]] = []
        self.unreadable: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a check's."""
        if found := getattr(report, RECORD, None):
            self.checks.append(found)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep a file's that is none."""
        if report.failed and report.nodeid.endswith(ENDING):
            self.unreadable.append(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Write it."""
        from rcompile.canonical import canonical_json
        from rcompile.regression.show import FORMAT

        checks = sorted(self.checks, key=lambda found: (found["file"], found["check"]))
        said = {"format": FORMAT, "checks": checks, "unreadable": sorted(set(self.unreadable))}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(canonical_json(said), encoding="utf-8")
