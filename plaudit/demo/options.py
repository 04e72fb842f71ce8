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
    experiment_seconds: float = 180.0
    evaluation_answers: int = 2
    max_tokens: int = 48
    temperature: float = 0.8
    error_rate: float = 0.05
    steps: int = 12
    training_patience_seconds: float = 1200.0
    tokens_per_second: float | None = None
    """What the machine was measured to draw, where the size was chosen by it (`plaudit.demo.sizing`)."""

    @property
    def smaller(self) -> bool:
        """Whether something was cut because the machine is slow."""
        return self.experiment_seconds < DemoOptions.experiment_seconds
