"""Prints what `ville` says of the people below: run it in an environment of its own with `ville==0.1.0`.

python -m tests.oracles.freeze_ville
"""

from importlib import import_module

import numpy as np
from numpy.typing import NDArray

PEOPLE = 10_000


def people() -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Arm (a coin's worth of either) and value of each: one in ten of the control likes, one in seven of the others."""
    n = np.arange(PEOPLE)
    arm = n * 7 % 11 % 2 == 0
    return arm, (n * 37 % 101 < np.where(arm, 14, 10)).astype(np.float64)


def main() -> None:
    """The interval of the effect after everybody."""
    arm, values = people()
    print(import_module("ville").AsymptoticABTest(t_opt=PEOPLE).fit(values, arm.astype(np.float64)).interval())


if __name__ == "__main__":
    main()
