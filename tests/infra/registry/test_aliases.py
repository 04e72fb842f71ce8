"""The projection of aliases: hand-made cases, and the law that applying a plan leaves nothing to plan."""

from hypothesis import given
from hypothesis import strategies as st

from infra.registry import AliasChange, plan_aliases

_ALIASES = st.dictionaries(st.sampled_from(["champion", "challenger", "newest"]), st.integers(1, 4))
_MODELS = st.dictionaries(st.sampled_from(["loop", "reward"]), _ALIASES)


def test_moves_sets_and_removes() -> None:
    wanted = {"loop": {"champion": 3, "previous": 2}}
    present = {"loop": {"champion": 2, "challenger": 3}}
    assert plan_aliases(wanted, present) == [
        AliasChange("loop", "challenger", None),
        AliasChange("loop", "champion", 3),
        AliasChange("loop", "previous", 2),
    ]


def test_what_agrees_is_left_alone() -> None:
    assert plan_aliases({"loop": {"champion": 3}}, {"loop": {"champion": 3}}) == []


def test_models_of_others_are_left_alone() -> None:
    assert plan_aliases({}, {"somebody-elses": {"champion": 1}}) == []


@given(_MODELS, _MODELS)
def test_applying_a_plan_reaches_what_is_wanted(
    wanted: dict[str, dict[str, int]], present: dict[str, dict[str, int]]
) -> None:
    after = {model: dict(aliases) for model, aliases in present.items()}
    for model, alias, version in plan_aliases(wanted, present):
        if version is None:
            del after[model][alias]
        else:
            after.setdefault(model, {})[alias] = version
    for model, aliases in wanted.items():
        assert after.get(model, {}) == aliases
    for model in present.keys() - wanted.keys():
        assert after[model] == present[model]
    assert plan_aliases(wanted, after) == []
