"""All SQL of a room is in its repository.py, so that a reader knows where to look and a schema change where to go."""

from tests.architecture.source import imported_names, modules

STATEMENTS = {"select", "insert", "update", "delete", "text", "union", "union_all", "exists", "literal_column"}


def test_queries_stand_in_repositories_only() -> None:
    strangers = {
        module.path: sorted(found)
        for module in modules()
        if not module.path.endswith("repository.py") and not module.path.startswith("infra/db/")
        if (found := imported_names(module.tree, "sqlalchemy") & (STATEMENTS | {"*"}))
    }
    assert strangers == {}
