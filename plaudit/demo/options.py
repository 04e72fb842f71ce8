"""What one demo run does."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DemoOptions:
    """What one demo run does. People are numbered from 0; experiment people from 100,000."""

    seed: int = 11
    folder: Path = Path("plaudit-data/demo")
    people_before: int = 720
    experiment_people: int = 1600
    evaluation_answers: int = 2
    max_tokens: int = 48
    temperature: float = 0.8
    error_rate: float = 0.05
    steps: int = 12
    training_patience_seconds: float = 1200.0
