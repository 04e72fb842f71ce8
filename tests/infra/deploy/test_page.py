"""docs/deploy.md: what it tells people to type exists."""

import re
import shlex

import pytest

from tests.infra.deploy.code import check_command
from tests.infra.deploy.files import ROOT

TEXT = (ROOT / "docs" / "deploy.md").read_text()
LINES = [line.strip().partition("#")[0] for line in re.findall(r"^    (.+)$", TEXT, re.MULTILINE)]
TYPED = [match.group(1) for line in LINES if (match := re.search(r"(?:^|exec \S+ |-- )plaudit (.+)$", line))]


@pytest.mark.parametrize("line", TYPED)
def test_commands_exist_with_their_options(line: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = str(tmp_path_factory.mktemp("there"))  # a folder that exists stands for those that are named
    words = [folder if word.startswith("/backups/") else word for word in shlex.split(line.replace("...", "host"))]
    check_command(words)


def test_there_are_commands_to_check() -> None:
    assert {line.split()[0] for line in TYPED} >= {"up", "migrate", "backup", "restore", "doctor", "keys"}


def test_files_that_are_named_exist() -> None:
    named = set(re.findall(r"(?:infra/deploy|tests)/[\w./-]*[\w-]", TEXT)) - {"infra/deploy/compose/.env"}
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    links = set(re.findall(r"\]\(([^)#:]+)\)", TEXT))
    assert [link for link in sorted(links) if not (ROOT / "docs" / link).exists()] == []


def test_its_settings_exist() -> None:
    from infra.settings import Settings
    from infra.settings.tree import knows

    variables = set(re.findall(r"PLAUDIT_[A-Z_]+", TEXT))
    assert variables
    assert all(knows(Settings, name.removeprefix("PLAUDIT_").lower().replace("__", ".")) for name in variables)
