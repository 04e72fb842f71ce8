"""How concentrated teaching is: how few people a week's feedback really comes from."""

from dataclasses import dataclass

import numpy as np

from ingest.trust.evidence import Floats


@dataclass(frozen=True)
class Concentration:
    """`effective`: number of equally heavy people that would be as concentrated, (sum m)^2 / sum m^2 (Kish 1965);
    `top_share`: share of the ten heaviest, [0, 1]; `gini`: 0 when all weigh the same, towards 1 when one has all."""

    people: int
    mass: float
    effective: float
    top_share: float
    gini: float


def concentration(mass: Floats, top: int = 10) -> Concentration:
    """Of the masses (people,), each >= 0; those of mass 0 taught nothing and are not counted."""
    some = np.sort(mass[mass > 0.0])
    n, total = len(some), float(some.sum())
    if n == 0:
        return Concentration(0, 0.0, 0.0, 0.0, 0.0)
    rank = np.arange(1, n + 1)
    gini = float((2 * rank - n - 1) @ some / (n * total))
    effective = total**2 / float((some**2).sum())
    return Concentration(n, total, effective, float(some[-top:].sum()) / total, gini)
