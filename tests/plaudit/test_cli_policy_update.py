"""`plaudit policy-update recipes`."""

from policy_update.algebra.table import RECIPES
from tests.plaudit.test_cli import plaudit


def test_all_recipes() -> None:
    found = plaudit("policy-update", "recipes", COLUMNS="220")
    assert found.returncode == 0, found.stderr
    assert set(RECIPES) <= {line.split(" ")[0] for line in found.stdout.splitlines() if line}
    assert "2601.05242" in found.stdout
    assert "what differs" in found.stdout


def test_one_recipe() -> None:
    found = plaudit("policy-update", "recipes", "dapo")
    assert found.returncode == 0, found.stderr
    rows = [line.split() for line in found.stdout.splitlines()]
    assert ["clip_high", "0.28"] in rows
    assert ["filter", "untruncated"] in rows
    assert ["dynamic_sampling", "true"] in rows


def test_a_wrong_name() -> None:
    found = plaudit("policy-update", "recipes", "gspoo")
    assert found.returncode == 2
    assert found.stdout == ""
    assert "did you mean 'gspo'" in found.stderr
