import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings.policy_candidates import CandidateSettings
from policy_update.candidates.dial import Combination, Trained, free_candidates, weightings

OBJECTIVES = {"love": 1.0, "relevance": 0.5}


def trained(*names: str) -> list[Trained]:
    return [Trained(f"loop@{number}", name, {"love": number}) for number, name in enumerate(names, start=1)]


def free(made: list[Trained], start: str = "base", **more: object) -> list[Combination]:
    wanted = {"soups": True, "extrapolations": ()} | more
    return free_candidates(made, start, OBJECTIVES, **wanted)  # type: ignore[arg-type]


def test_a_named_weighting_replaces_what_it_names() -> None:
    assert weightings(OBJECTIVES, {}) == {"trained": OBJECTIVES}
    assert weightings(OBJECTIVES, {"warm": {"love": 2.0}, "plain": {"love": 0.0}}) == {
        "warm": {"love": 2.0, "relevance": 0.5},
        "plain": {"love": 0.0, "relevance": 0.5},
    }


def test_soups_of_all_and_of_pairs() -> None:
    assert free(trained("a")) == []
    (pair,) = free(trained("a", "b"))
    assert pair.parts == {"loop@1": 0.5, "loop@2": 0.5}
    assert pair.weights == {"love": 1.5, "relevance": 0.0}
    found = free(trained("a", "b", "c"))
    assert [one.label for one in found] == ["soup of a, b, c", "soup of a, b", "soup of a, c", "soup of b, c"]
    assert found[0].parts == pytest.approx({"loop@1": 1 / 3, "loop@2": 1 / 3, "loop@3": 1 / 3})
    assert free(trained("a", "b"), soups=False) == []


def test_extrapolation_from_the_base_and_from_a_champion() -> None:
    (one,) = free(trained("a"), extrapolations=(0.3,))
    assert (one.kind, one.label, dict(one.parts)) == ("expo", "a x 1.3", {"loop@1": 1.3})
    (one,) = free(trained("a"), start="loop@9", extrapolations=(-0.5,))
    assert (one.label, dict(one.parts)) == ("a x 0.5", {"loop@1": 0.5, "loop@9": 0.5})


@given(st.integers(1, 3), st.lists(st.floats(-0.9, 2.0), max_size=3), st.sampled_from(["base", "loop@9"]))
def test_the_base_aside_coefficients_sum_to_one(count: int, steps: list[float], start: str) -> None:
    """Each stays in the plane through the champion: nothing of the champion is scaled up or lost."""
    found = free(trained(*"abc"[:count]), start=start, extrapolations=tuple(steps))
    for one in found:
        if one.kind == "soup" or start != "base":
            assert sum(one.parts.values()) == pytest.approx(1.0)


def test_settings_that_make_no_candidate_are_refused() -> None:
    with pytest.raises(ValueError, match="names no objective"):
        CandidateSettings(weightings={"empty": {}})
    with pytest.raises(ValueError, match="must be above -1"):
        CandidateSettings(extrapolations=(-1.0,))
