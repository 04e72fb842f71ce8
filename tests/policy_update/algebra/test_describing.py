"""The page of recipes says what the table says."""

from policy_update.algebra.describing import COLUMNS, citation, described, markdown_table, page, stage_table
from policy_update.algebra.recipe import STAGES
from policy_update.algebra.table import RECIPES
from tests.architecture.source import ROOT


def test_the_page_is_true() -> None:
    text = (ROOT / "docs" / "policy-update-recipes.md").read_text(encoding="utf-8")
    tables = {"recipes": markdown_table(RECIPES.values()), "functions": stage_table()}
    assert text == page(text, tables), "run: python -m policy_update.algebra.describing"
    assert all(f"| `{name}` |" in text for name in RECIPES)
    assert all(f"| {stage} |" in text for stage in STAGES)


def test_a_row_names_functions_with_their_numbers() -> None:
    row = dict(zip(COLUMNS, described(RECIPES["dapo"]), strict=True))
    assert row["advantage"] == (
        "soft_overlong (overlong_cache 0.2, overlong_weight 1), sum_then_each, group_normalized"
    )
    assert row["ratio and clip"] == (
        "untruncated, truncated_importance (importance_cap 2), clipped (clip_low 0.2, clip_high 0.28)"
    )
    assert row["what differs"].endswith("Dynamic sampling.")


def test_citations() -> None:
    assert citation("2503.14476") == "[2503.14476](https://arxiv.org/abs/2503.14476)"
    assert citation("Williams 1992") == "Williams 1992"


def test_every_recipe_says_what_differs_and_cites() -> None:
    for recipe in RECIPES.values():
        assert recipe.differs.endswith("."), recipe.name
        assert recipe.paper, recipe.name
        assert "|" not in recipe.differs, recipe.name
