"""Advice before exposure: shown where it is evidence, withheld where it is not."""

from ab_testing.off_policy import gate_advice


def test_the_gate_document_is_surfaced_or_withheld() -> None:
    check = {"name": "off_policy_love", "passed": True, "value": 0.1, "low": -0.05, "high": 0.25, "limit": 100.0,
             "reason": "advice: love by clipped IPS", "group": "advice", "before": 0.3, "after": 0.4}  # fmt: skip
    few = {**check, "name": "off_policy_harm", "passed": False, "reason": "no evidence: 12 effective answers"}
    broken = {**check, "name": "off_policy_share", "value": "nan"}
    found = gate_advice({"advice": [check, few, broken, {"name": "other"}, "x"]})
    assert found == {
        "love": {"logged": 0.3, "estimated": 0.4, "difference": 0.1, "low": -0.05, "high": 0.25,
                 "reason": "advice: love by clipped IPS"},
        "harm": {"withheld": "no evidence: 12 effective answers"},
        "share": {"withheld": "advice: love by clipped IPS"},
    }  # fmt: skip
    assert gate_advice({}) == gate_advice({"advice": None}) == {}
