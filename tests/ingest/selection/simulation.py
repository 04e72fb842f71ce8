"""People who were shown answers, liked them or not, and said so or kept silent; what all of them thought is known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.selection.features import Covariates
from ingest.selection.model import Fitted, fit_selection
from ingest.selection.rates import Sample

DEVICES = np.array(["desktop", "mobile", "tablet"])


@dataclass(frozen=True)
class Simulated:
    """One population: what is logged, what was said, and (what nobody logs) what everybody thought."""

    covariates: list[Covariates]
    people: list[str]
    voted: NDArray[np.bool_]
    opinions: NDArray[np.float64]
    thought: NDArray[np.float64]

    @property
    def truth(self) -> float:
        """Share of shown answers that were liked, said or not."""
        return float(self.thought.mean())

    def fitted(self, folds: int = 5) -> Fitted:
        return fit_selection(self.covariates, self.people, self.voted, self.opinions, folds=folds, clip=10.0)

    def sample(self, fitted: Fitted) -> Sample:
        model = fitted.model
        pairs = list(zip(self.covariates, self.people, strict=True))
        return Sample(
            voted=self.voted,
            opinions=self.opinions,
            propensity=np.array([model.propensity(*pair) for pair in pairs]),
            predicted=np.array([model.predicted_opinion(*pair) for pair in pairs]),
            people=np.unique(self.people, return_inverse=True)[1],
        )


def simulate(seed: int, *, people: int = 1000, answers: int = 8, opinion_odds: float = 1.0) -> Simulated:
    """`people` with `answers` each. Those on a phone, late in the day, with long answers like less and vote less: the
    raw rates are far off. `opinion_odds`: by how much a like multiplies the odds of voting; at 1 silence depends on
    what is logged alone."""
    draw = np.random.default_rng(seed)
    n = people * answers
    person = np.repeat(np.arange(people), answers)
    device = draw.choice(3, people, p=[0.4, 0.5, 0.1])[person]
    hour = draw.uniform(0, 24, n)
    length = np.exp(draw.normal(6, 0.8, n))
    prompt = np.exp(draw.normal(4, 1, n))
    turn = 1 + draw.geometric(0.5, n)
    shown = draw.integers(0, 30, n)
    voted_before = draw.binomial(shown, draw.beta(1, 4, people)[person])
    habit = (voted_before + 1) / (shown + 2)
    late, long = np.cos(2 * np.pi * (hour - 22) / 24), (np.log(length) - 6) / 0.8
    phone = device == 1
    common = -1.3 * phone - 0.7 * late - 0.9 * np.maximum(long, -0.5)
    liking = 1 / (1 + np.exp(-(0.9 + common + 0.3 * (np.log(prompt) - 4))))
    thought = (draw.random(n) < liking).astype(float)
    speaking = -0.6 + common + 2.5 * (habit - 0.25) - 0.2 * turn + np.log(opinion_odds) * thought
    voted = draw.random(n) < 1 / (1 + np.exp(-speaking))
    covariates = [
        Covariates(
            str(DEVICES[device[i]]),
            float(hour[i]),
            float(length[i]),
            float(prompt[i]),
            float(turn[i]),
            "champion@1",
            float(shown[i]),
            float(voted_before[i]),
        )
        for i in range(n)
    ]
    names = [f"person-{one}" for one in person]
    return Simulated(covariates, names, voted, np.where(voted, thought, np.nan), thought)
