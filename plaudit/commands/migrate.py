"""`plaudit migrate`: bring the store to the schema this version needs."""

from plaudit.commands.common import settings


def migrate() -> None:
    """Bring the store to the newest schema. Safe to run twice, and from several machines at once."""
    from infra.db import Database
    from infra.db import migrate as run_migrations

    url = settings().store_url
    revision = run_migrations(url)
    print(f"store {Database.open(url).safe_url} is at revision {revision}")
