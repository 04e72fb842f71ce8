"""Documents that name commands, targets and settings name real ones."""

import re

import pytest
from typer.main import get_command

from tests.architecture.source import ROOT

HEADINGS = ("Context", "Decision", "Consequences", "Alternatives")
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_its_four_parts(page: "object") -> None:
    text = page.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    assert tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) == HEADINGS
    assert re.match(r"# \d{4} .+\n", text), "the title is `# 0001 ...`"


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_make_verbs_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"help", "setup", "demo", "up", "test", "test-full", "check", "bench"} <= targets
    for name in ("README.md", "CONTRIBUTING.md", ".ci/run"):
        used = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / name).read_text(), re.MULTILINE))
        assert used, name
        assert used <= targets, name


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_commands_in_documents_exist(name: str) -> None:
    from plaudit.cli import app

    root = get_command(app)
    text = (ROOT / name).read_text(encoding="utf-8")
    for line in re.findall(r"(?:^|`)(?:\.venv/bin/)?plaudit ([a-z][a-z -]*[a-z])", text, re.MULTILINE):
        node = root
        for word in line.split():
            if not hasattr(node, "commands"):
                break
            assert word in node.commands, f"{name}: plaudit {line}"
            node = node.commands[word]


def test_the_example_of_settings_is_true() -> None:
    from infra.settings.describing import example_toml

    remedy = "run: plaudit config example > plaudit.example.toml"
    assert (ROOT / "plaudit.example.toml").read_text(encoding="utf-8") == example_toml(), remedy


def test_the_readme_talks_to_the_default_port() -> None:
    from infra.settings.serving import ServingSettings

    ports = set(re.findall(r"127\.0\.0\.1:(\d+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert ports == {str(ServingSettings().port)}
