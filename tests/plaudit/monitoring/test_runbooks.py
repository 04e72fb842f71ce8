"""Every alert has its page, and what a page names exists: commands, settings, metrics, other pages."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from infra.settings import Settings
from infra.settings.tree import knows
from plaudit.cli import app
from plaudit.monitoring.names import catalogued, known_names, names_in
from plaudit.monitoring.rules import RUNBOOKS, alerts, recordings

RUNBOOK_FOLDER = Path(__file__).parents[3] / "docs" / "runbooks"
ALERTS = {alert.name: alert for alert in alerts(Settings())}
HEADINGS = ["What it means", "First checks", "What to do"]
SECTIONS = set(Settings.model_fields)


def page_of(name: str) -> str:
    return (RUNBOOK_FOLDER / f"{name}.md").read_text(encoding="utf-8")


def test_pages_and_alerts_are_the_same() -> None:
    assert {path.stem for path in RUNBOOK_FOLDER.glob("*.md")} == set(ALERTS)
    assert RUNBOOKS.endswith("docs/runbooks")


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_a_page_has_its_parts_and_a_command(name: str) -> None:
    page = page_of(name)
    assert page.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == HEADINGS
    assert re.search(r"`plaudit |`curl ", page), "a first check is a command that can be typed"
    assert len(ALERTS[name].summary) > 20


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_what_a_page_names_exists(name: str) -> None:
    quoted = [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", page_of(name))]
    recorded = {recording.record for recording in recordings(Settings())}
    for text in quoted:
        assert names_in(text) - recorded - catalogued().keys() <= known_names(), text
        if text.startswith("plaudit "):
            assert unknown_word(text) is None, f"{text}: no {unknown_word(text)}"
        if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", text) and text.split(".")[0] in SECTIONS:
            assert knows(Settings, text), f"there is no setting {text}"
    for other in re.findall(r"\b[Ss]ee ([A-Z]\w+[A-Z]\w+)", page_of(name)):
        assert other in ALERTS, f"there is no page {other}"


def unknown_word(text: str) -> str | None:
    """The first word of a command line that is no command; None when all are."""
    node = get_command(app)
    for word in text.split()[1:]:
        if not hasattr(node, "commands"):
            return None
        if word not in node.commands:
            return word
        node = node.commands[word]
    return None
