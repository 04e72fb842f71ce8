import math

import pytest

from policy_update.chain import kl_to_base, reason_to_reset


def row(kl: object) -> dict[str, object]:
    checks = [{"name": "length", "value": 9.0}, {"name": "kl_to_base", "value": kl}]
    return {"gate": {"checks": checks if kl is not None else []}}


def test_kl_as_the_gate_measured_it() -> None:
    assert kl_to_base({"checks": [{"name": "kl_to_base", "value": 0.3}]}) == 0.3
    assert math.isnan(kl_to_base({}))


@pytest.mark.parametrize(
    ("kls", "every", "limit", "reason"),
    [
        ([], 1, 0.0, ""),
        ([0.1, 0.9], 3, 0.45, ""),
        ([0.1, 0.1], 2, 0.45, "2 updates on top of one another (retrain_from_base_every = 2)"),
        ([0.1] * 9, 0, 0.45, ""),
        ([0.46], 8, 0.45, "the champion is 0.460 nats a token from the base (retrain_kl_to_base = 0.45)"),
        ([None], 8, 0.45, ""),
        (["nan"], 8, 0.45, ""),
    ],
)
def test_when_it_begins_again(kls: list[object], every: int, limit: float, reason: str) -> None:
    assert reason_to_reset([row(kl) for kl in kls], every, limit) == reason
