"""Which tests share a worker, and which go first. Loaded with `-p tests.plugins.together`, for `--dist loadgroup`.

The tests of a file stay together, so that what the file makes once is made once; those that are long and share nothing
are dealt out one by one. What takes long goes first: a run must not end with one worker in a drill and the others idle.

Every worker collects all tests. In a fresh clone most of that is rewriting their asserts, so each begins at another
folder and finds the rest rewritten by the others. The garbage collector waits until all is collected, and what was
collected is never looked through again: half a second each time, for a million objects that stay.

By node id, through xdist's own hook: the mark `xdist_group` is lost on the way to the scheduler with pytest 9.2 and
pytest-xdist 3.8, which writes it into an attribute that test items no longer have.
"""

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

ALONE = (
    "tests/conformance/",
    "tests/drills/",
    "tests/e2e/test_alerts.py",
    "tests/e2e/test_rights.py",
    "tests/plaudit/keeping/",
    "tests/policy_update/algebra/test_properties.py",
    "tests/policy_update/test_recipes_learn.py",
    "tests/reward_model/finetuning/test_pipeline.py",
    "tests/reward_model/test_lifecycle.py",
    "tests/reward_model/test_service.py",
)
"""Folders and files whose tests are long or many, and make nothing for one another."""

FOLDERS = ("tests/e2e/", "tests/plaudit/", "tests/serving/clients/", "tests/serving/drills/")
"""Each of these folders is one group: its tests share a running deployment, or what commands are forked from."""

FIRST = (
    "tests/e2e/test_child_killed.py",
    "tests/e2e/test_kill_drill.py",
    "tests/e2e/test_metrics.py",
    "tests/e2e/test_readme.py",
    "tests/e2e/test_shutdown.py",
    "tests/drills/",
    "tests/e2e/",
    "tests/serving/drills/",
    "tests/plaudit/",
    "tests/ab_testing/",
    "tests/ingest/browser/",
    "tests/integration/",
    "tests/reward_model/",
    "tests/policy_update/",
    "tests/serving/",
    "tests/plugins/",
    "tests/ingest/",
    "tests/infra/",
)
"""What takes long, the longest first; the rest follows in the order of its names."""


def group_of(nodeid: str) -> str:
    """Tests of equal group run on one worker, one after the other."""
    if nodeid.startswith(ALONE):
        return nodeid
    file = nodeid.split("::", 1)[0]
    return next((folder for folder in FOLDERS if file.startswith(folder)), file)


def rank_of(nodeid: str) -> int:
    """Place in the order of a run: smaller goes earlier."""
    return next((place for place, start in enumerate(FIRST) if nodeid.startswith(start)), len(FIRST))


def place_of(nodeid: str) -> tuple[int, list[str]]:
    """Where a test stands in the order of a run: by rank, then as files and folders are named."""
    return rank_of(nodeid), nodeid.split("::", 1)[0].split("/")


def begun_elsewhere(folder: Path, share: float) -> list[str]:
    """What of `folder` holds tests, from that behind which `share` (0 to 1) of the files lie; then what is before."""
    sizes = {path: len(list(path.rglob("test_*.py"))) for path in folder.iterdir() if path.name[0] not in "._"}
    children = sorted(path for path, size in sizes.items() if size)
    files = sum(sizes[path] for path in children)
    start = next((i for i in range(len(children)) if sum(sizes[p] for p in children[:i]) >= share * files), 0)
    return [str(path) for path in (*children[start:], *children[:start])]


def pytest_configure(config: pytest.Config) -> None:
    """Each worker begins elsewhere in the folders of the settings; paths that somebody typed are left alone."""
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is None:
        return
    gc.disable()
    share = int(worker["workerid"].removeprefix("gw")) / worker["workercount"] % 1.0
    roots = [config.rootpath / name for name in config.getini("testpaths")]
    folders = [(argument, config.rootpath / argument) for argument in config.args]
    config.args[:] = [
        child for name, path in folders for child in (begun_elsewhere(path, share) if path in roots else [name])
    ]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The same order on every worker; without xdist the order of the files stays."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place_of(item.nodeid))


def pytest_collection_finish(session: pytest.Session) -> None:
    """From here on the collector works, on what the tests make."""
    if hasattr(session.config, "workerinput"):
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "LoadScopeScheduling | None":
    """For `--dist loadgroup`; None leaves every other choice to xdist."""
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # the order is ours, not that of the groups' sizes

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Together(config, log)
