from importlib.metadata import version

import psutil
import pytest

from infra.contracts import ManualClock, SystemClock
from infra.db import current_revision, migrate, newest_revision
from infra.event_log import Record
from infra.metrics.catalogue import REGISTRY
from infra.runtime import StoreNotMigrated, open_context
from infra.settings import Settings, config_hash
from infra.settings.infrastructure import StoreSettings


def test_the_embedded_store_is_migrated_on_the_way(settings: Settings) -> None:
    context = open_context(settings)
    assert current_revision(settings.store_url) == newest_revision()
    assert isinstance(context.clock, SystemClock)
    assert context.database.healthy() is None
    assert context.event_log.healthy() is None
    context.close()


def test_a_named_store_must_be_migrated_first(settings: Settings, empty_sqlite_url: str, clock: ManualClock) -> None:
    named = settings.model_copy(update={"store": StoreSettings(url=empty_sqlite_url)})
    with pytest.raises(StoreNotMigrated, match="run `plaudit migrate`"):
        open_context(named)
    migrate(empty_sqlite_url)
    context = open_context(named, clock)
    assert context.clock is clock
    context.close()


@pytest.fixture
def empty_sqlite_url(settings: Settings) -> str:
    return f"sqlite:///{settings.data_dir}/elsewhere/named.sqlite3"


def test_closing_flushes_the_log(settings: Settings) -> None:
    context = open_context(settings)
    context.event_log.ensure_topic("t")
    future = context.event_log.append("t", [Record(key=b"k", value=b"v", partition=0)])
    context.close()
    assert len(future.result(30)) == 1


def test_a_process_says_what_it_is_and_since_when(settings: Settings) -> None:
    open_context(settings).close()
    labels = {"version": version("plaudit"), "config_hash": config_hash(settings)}
    assert REGISTRY.get_sample_value("plaudit_build_info", labels) == 1.0
    started = REGISTRY.get_sample_value("plaudit_process_start_time_seconds")
    assert started == pytest.approx(psutil.Process().create_time(), abs=1.5)
    other = settings.model_copy(update={"project": "other"})
    open_context(other).close()
    assert REGISTRY.get_sample_value("plaudit_build_info", labels) is None, "one a process"
