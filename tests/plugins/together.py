"""Tests that share a costly session fixture run on one worker. Loaded with `-p tests.plugins.together`.

By folder, through xdist's own hook: the mark `xdist_group` is lost on the way to the scheduler with pytest 9.2 and
pytest-xdist 3.8, which writes it into an attribute that test items no longer have.
"""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

FOLDERS = ("tests/e2e/", "tests/plaudit/test_cli_reward_model.py")
"""Each folder or file is one group."""


def group_of(nodeid: str) -> str:
    """Tests of equal group run on one worker; most are a group of their own."""
    return next((folder for folder in FOLDERS if nodeid.startswith(folder)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "LoadScopeScheduling | None":
    """For `--dist loadgroup`; None leaves every other choice to xdist."""
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Together(config, log)
