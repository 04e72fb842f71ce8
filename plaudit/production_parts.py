"""Production checks that ask the parts: the store's clock, the gateway's replicas, what Kafka does with the topics."""

import time
from typing import TYPE_CHECKING

from infra.contracts import SystemClock
from infra.settings import Settings
from plaudit import doctor_repository
from plaudit.doctor import Finding

if TYPE_CHECKING:
    from infra.event_log.kafka.durability import TopicDurability

SKEW_NOTE_SECONDS, SKEW_FAIL_SECONDS = 0.5, 5.0
REPLICA_SECONDS = 7 * 86400.0
"""A replica that has proven nothing for so long is taken for gone."""


def check_clock(settings: Settings) -> Finding:
    """This machine's clock against the store's: windows close, and leases expire, by it."""
    from infra.db import Database

    if settings.store_url.startswith("sqlite"):
        return Finding("clock", "ok", "one machine, one clock")
    database = Database.open(settings.store_url)
    try:
        with database.reading() as connection:
            doctor_repository.store_clock(connection)  # the first answer pays for the connection
            before = time.time()
            there = doctor_repository.store_clock(connection)
            here, half = (before + time.time()) / 2, (time.time() - before) / 2
    finally:
        database.close()
    skew = abs(here - there)
    detail = f"{skew:.3f} s apart from the store's, known to within {half:.3f} s"
    remedy = "have both machines follow the same time server (chrony, systemd-timesyncd)"
    if skew - half > SKEW_FAIL_SECONDS:
        return Finding("clock", "fail", f"{detail}: leases and windows are judged wrongly", remedy)
    if skew - half > SKEW_NOTE_SECONDS:
        return Finding("clock", "note", detail, remedy)
    return Finding("clock", "ok", detail)


def check_replicas(settings: Settings) -> Finding:
    """More than one gateway: one may be restarted, or lost, without anybody noticing."""
    from infra.db import Database, current_revision, newest_revision

    name = "serving.replica"
    if current_revision(settings.store_url) != newest_revision():
        return Finding("replicas", "note", "cannot be told before the store is migrated", "run `plaudit migrate`")
    database = Database.open(settings.store_url)
    try:
        with database.reading() as connection:
            since = SystemClock().now() - REPLICA_SECONDS
            found = doctor_repository.replicas_since(connection, settings.project, since)
    finally:
        database.close()
    remedy = "run at least two gateways (chart: gateway.replicas), each with a name of its own in serving.replica"
    if not found:
        return Finding("replicas", "note", "no gateway has proven an adapter in a week", remedy, name, "(none)")
    if len(found) == 1:
        return Finding("replicas", "note", "one gateway: its restart is an outage", remedy, name, found[0])
    return Finding("replicas", "ok", f"{len(found)} gateways have proven adapters", "", name, ", ".join(found[:6]))


def check_topics(settings: Settings) -> Finding:
    """What the brokers do with the topics, whatever our settings asked for when they were made."""
    if settings.event_log.kind == "embedded":
        return Finding("topics", "ok", "the embedded log keeps what it is told to keep")
    from infra.event_log.kafka.durability import durabilities
    from ingest.erasure.message import erasures_topic
    from ingest.topics import feedback_topic, interactions_topic

    names = [feedback_topic(settings), interactions_topic(settings), erasures_topic(settings)]
    found = durabilities(settings.event_log, names)
    problems = [said for topic in found if (said := topic_problem(topic, topic.topic == names[2]))]
    seen = ", ".join(f"{one.topic}: {one.partitions} partitions x {one.replicas}" for one in found) or "(none yet)"
    if problems:
        remedy = "kafka-configs.sh --alter, kafka-reassign-partitions.sh; docs/deploy.md has the values"
        return Finding("topics", "fail", "; ".join(problems), remedy, "event_log.topic_prefix", seen)
    return Finding("topics", "ok" if found else "note", seen, "" if found else "start a consumer: it makes them")


def topic_problem(topic: "TopicDurability", kept_for_ever: bool) -> str:
    """What a deployment could lose by this topic; "" when nothing."""
    said = []
    if topic.replicas < 3:
        said.append(f"{topic.replicas} replicas")
    if topic.min_insync is not None and topic.min_insync < 2:
        said.append(f"min.insync.replicas = {topic.min_insync}")
    if topic.unclean_elections:
        said.append("unclean.leader.election.enable = true")
    if kept_for_ever and topic.retention_seconds is not None and topic.retention_seconds >= 0:
        said.append(f"erasures are forgotten after {topic.retention_seconds:g} s")
    if not kept_for_ever and topic.retention_seconds is not None and 0 <= topic.retention_seconds < 3 * 86400:
        said.append(f"records go after {topic.retention_seconds:g} s, applied or not")
    return f"{topic.topic}: {', '.join(said)}" if said else ""
