"""Each production check against settings that are right, and settings that are wrong."""

import time
import uuid
from pathlib import Path

import pytest
from sqlalchemy import insert

from infra.contracts import ManualClock
from infra.db.tables import adapter_proofs
from infra.event_log.kafka.durability import TopicDurability, durabilities, settings_of
from infra.event_log.kafka.log import KafkaEventLog
from infra.settings import Settings, load_settings
from plaudit import doctor_repository, production, production_parts
from plaudit.doctor import Finding
from plaudit.production import production_checks
from plaudit.production_parts import topic_problem
from tests.plaudit.test_cli import plaudit

KAFKA = {"event_log.kind": "kafka", "event_log.bootstrap_servers": "kafka-1:9092"}
VLLM = {"serving.engine.kind": "vllm"}
POSTGRES = "postgresql+psycopg://plaudit:{}@db.internal:5432/plaudit"
SECRET = "0123456789abcdef" * 4


def settings_in(folder: Path, **values: object) -> Settings:
    return load_settings(overrides={"data_dir": str(folder / "data"), **values})


CASES = [
    ("user secret", {}, "fail", "user_key_secret"),
    ("user secret", {"user_key_secret": "changeme"}, "fail", "user_key_secret"),
    ("user secret", {"user_key_secret": "a" * 64}, "fail", "user_key_secret"),
    ("user secret", {"user_key_secret": SECRET}, "ok", "user_key_secret"),
    ("store password", {"store.url": POSTGRES.format("postgres")}, "fail", "store.url"),
    ("store password", {"store.url": POSTGRES.format("kX93-fdd")}, "note", "store.url"),
    ("store password", {"store.url": POSTGRES.format("kX93-fdd") + "?sslmode=verify-full"}, "ok", "store.url"),
    ("store password", {}, "ok", "store.url"),
    ("log password", KAFKA | {"event_log.security_protocol": "SASL_SSL"}, "fail", "event_log.sasl_password"),
    ("log password", KAFKA, "note", "event_log.security_protocol"),
    ("log password", KAFKA | {"event_log.security_protocol": "SSL"}, "ok", "event_log.security_protocol"),
    ("log password", {}, "ok", "event_log.kind"),
    ("keys", {}, "fail", "access.require_keys"),
    ("keys", {"access.require_keys": True}, "ok", "access.require_keys"),
    ("cross-origin calls", {"access.cors_origins": ["*"]}, "fail", "access.cors_origins"),
    ("cross-origin calls", {"access.cors_origins": ["http://shop.example"]}, "fail", "access.cors_origins"),
    ("cross-origin calls", {"access.cors_origins": ["https://shop.example"]}, "ok", "access.cors_origins"),
    ("TLS", {"serving.host": "0.0.0.0"}, "note", "serving.host"),
    ("TLS", {}, "ok", "serving.host"),
    ("console", {"serving.host": "0.0.0.0"}, "fail", "console.secure_cookie"),
    ("console", {"serving.host": "0.0.0.0", "console.secure_cookie": True}, "note", "console.local_password"),
    ("console", {"serving.host": "0.0.0.0", "console.enabled": False}, "ok", "console.enabled"),
    ("console", {}, "ok", "console.secure_cookie"),
    ("engine", {}, "ok", "serving.engine.kind"),
    ("engine", VLLM | {"serving.engine.vllm.urls": ["http://a:8000"]}, "note", "serving.engine.vllm.urls"),
    ("engine", VLLM | {"serving.engine.vllm.urls": ["http://a:1", "http://b:1"]}, "ok", "serving.engine.vllm.urls"),
    ("engine", {"serving.serve_unlogged": True}, "note", "serving.serve_unlogged"),
    ("store", {}, "note", "store.url"),
    ("store", {"store.url": POSTGRES.format("x")}, "ok", "store.url"),
    ("replication", {}, "note", "event_log.kind"),
    ("replication", KAFKA | {"event_log.replication_factor": 1}, "fail", "event_log.replication_factor"),
    ("replication", KAFKA, "ok", "event_log.replication_factor"),
    ("retention", {}, "note", "retention.interaction_seconds"),
    ("logging", {"logging.level": "debug"}, "note", "logging.level"),
    ("logging", {"logging.format": "console"}, "note", "logging.format"),
    ("logging", {}, "ok", "logging.level"),
]


def found(subject: str, settings: Settings, public_url: str = "") -> Finding:
    return dict(production_checks(public_url))[subject](settings)


@pytest.mark.parametrize(("subject", "values", "status", "setting"), CASES)
def test_settings_are_judged(
    tmp_path: Path, subject: str, values: dict[str, object], status: str, setting: str
) -> None:
    finding = found(subject, settings_in(tmp_path, **values))
    assert (finding.subject, finding.status, finding.setting) == (subject, status, setting)
    assert finding.value, "the value it has here"
    assert bool(finding.remedy) == (status != "ok")
    for secret in (SECRET, "changeme", "kX93-fdd"):
        assert secret not in f"{finding.detail}{finding.value}{finding.remedy}"


def test_everything_with_an_age_is_ok(tmp_path: Path) -> None:
    ages = {f"retention.{name}_seconds": 1e7 for name in ("interaction", "feedback_text", "dead_letter")}
    settings = settings_in(tmp_path, **ages)
    assert found("retention", settings).setting == "retention.log_record_seconds"
    assert found("retention", settings_in(tmp_path, **ages, **{"retention.log_record_seconds": 1e6})).status == "ok"


def test_an_address_without_tls_or_without_anybody_is_a_failure(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    plain = found("TLS", settings, "http://chat.example")
    assert (plain.status, plain.setting, plain.value) == ("fail", "--public-url", "http://chat.example")
    nobody = found("TLS", settings, "https://127.0.0.1:1")
    assert (nobody.status, "cannot be reached" in nobody.detail) == ("fail", True)


def test_a_disk_too_small_for_the_spool_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(production, "SPARE_BYTES", 0)
    assert found("spool", settings_in(tmp_path, **KAFKA, **{"event_log.spool_limit_bytes": 10**18})).status == "fail"
    assert found("spool", settings_in(tmp_path, **KAFKA, **{"event_log.spool_limit_bytes": 1})).status == "ok"
    assert found("spool", settings_in(tmp_path, **KAFKA, **{"event_log.spool_limit_bytes": 0})).status == "note"


@pytest.mark.postgres
def test_the_clock_is_compared_with_the_stores(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path, **{"store.url": postgres_url})
    assert found("clock", settings).status == "ok"
    assert found("clock", settings_in(tmp_path)).status == "ok"
    true = doctor_repository.store_clock
    for ahead, status in ((2.0, "note"), (-60.0, "fail")):
        monkeypatch.setattr(doctor_repository, "store_clock", lambda connection, ahead=ahead: true(connection) + ahead)
        finding = production_parts.check_clock(settings)
        assert (finding.status, "time server" in finding.remedy) == (status, True)


def test_one_gateway_is_noted(sqlite_url: str, tmp_path: Path) -> None:
    from infra.db import Database

    settings = settings_in(tmp_path, **{"store.url": sqlite_url})
    database = Database.open(sqlite_url)
    expected = [("(none)", "note"), ("gateway-0", "note"), ("gateway-0, gateway-1", "ok")]
    for number, (value, status) in enumerate(expected):
        finding = found("replicas", settings)
        assert (finding.value, finding.status) == (value, status)
        with database.transaction() as connection:
            connection.execute(
                insert(adapter_proofs).values(
                    project=settings.project, replica=f"gateway-{number}", adapter="base", status="proven", detail={},
                    proved_at=time.time(),
                )
            )  # fmt: skip
    database.close()


def test_what_a_topic_can_lose_is_named() -> None:
    good = TopicDurability("t", 12, 3, 2, 604_800.0, False)
    assert topic_problem(good, kept_for_ever=False) == ""
    assert "erasures are forgotten" in topic_problem(good, kept_for_ever=True)
    assert topic_problem(TopicDurability("e", 12, 3, 2, -0.001, False), kept_for_ever=True) == ""
    worst = topic_problem(TopicDurability("t", 12, 1, 1, 60.0, True), kept_for_ever=False)
    for said in ("1 replicas", "min.insync.replicas = 1", "unclean", "60 s"):
        assert said in worst


def test_the_brokers_answer_is_read() -> None:
    answer = {"topic": {"t": {"min.insync.replicas": {"value": "2"}, "retention.ms": {"value": None}}}}
    assert settings_of(answer, "t") == {"min.insync.replicas": "2"}
    assert settings_of(answer, "u") == {}


@pytest.mark.broker
def test_a_real_broker_is_asked(kafka_bootstrap: str, tmp_path: Path) -> None:
    values = {"event_log.kind": "kafka", "event_log.bootstrap_servers": kafka_bootstrap}
    values |= {"event_log.topic_prefix": f"doctor-{uuid.uuid4().hex[:8]}", "event_log.replication_factor": 1}
    settings = settings_in(tmp_path, **values)
    assert found("topics", settings).status == "note"
    log = KafkaEventLog(settings.event_log, ManualClock())
    log.ensure_topic(f"{settings.event_log.topic_prefix}.feedback")
    log.close()
    (durability,) = durabilities(settings.event_log, [f"{settings.event_log.topic_prefix}.feedback"])
    assert (durability.partitions, durability.replicas) == (4, 1)
    finding = found("topics", settings)
    assert finding.status == "fail"
    assert "1 replicas" in finding.detail


def test_the_command_says_setting_value_and_remedy_and_exits_1(tmp_path: Path) -> None:
    said = plaudit("doctor", "--production", PLAUDIT_DATA_DIR=str(tmp_path), PLAUDIT_ACCESS__CORS_ORIGINS='["*"]')
    assert said.returncode == 1
    assert "setting: access.cors_origins = *" in said.stdout
    assert "mend: name the origins" in said.stdout
    assert "access.cors_origins" not in plaudit("doctor", PLAUDIT_DATA_DIR=str(tmp_path)).stdout
