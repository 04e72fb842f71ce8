"""The demo's prompts, written for this project, by topic; every third one is never used in training."""

from importlib.resources import files

SYSTEM = "You are a helpful assistant. Answer in two short sentences."
"""The system message of the people's app: it keeps answers short enough for two cores."""


def load() -> list[tuple[str, str]]:
    """All (topic, prompt), in file order."""
    topic, rows = "", []
    for line in files("plaudit.demo").joinpath("prompts.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            topic = line[1:].strip()
        elif line.strip():
            rows.append((topic, line.strip()))
    return rows


def split() -> tuple[list[str], list[str]]:
    """(prompts people ask while the loop learns, prompts it never sees): two thirds and one third of every topic."""
    rows = load()
    known = [prompt for index, (_, prompt) in enumerate(rows) if index % 3 != 2]
    unseen = [prompt for index, (_, prompt) in enumerate(rows) if index % 3 == 2]
    return known, unseen
