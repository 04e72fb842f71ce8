"""What the brokers really do with a topic, whatever our settings asked for when it was made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from infra.event_log.kafka.client import client_options, connected, translated
from infra.settings.infrastructure import EventLogSettings


@dataclass(frozen=True)
class TopicDurability:
    """One topic. `replicas`: of its least replicated partition; None: the brokers do not say. Retention in seconds;
    negative: for ever."""

    topic: str
    partitions: int
    replicas: int
    min_insync: int | None
    retention_seconds: float | None
    unclean_elections: bool | None


def durabilities(settings: EventLogSettings, topics: list[str]) -> list[TopicDurability]:
    """What the brokers say about those of `topics` that exist. Raises EventLogUnavailable."""
    try:
        admin = connected(KafkaAdminClient, **client_options(settings))
        try:
            described = [one for one in admin.describe_topics(topics) if one.get("partitions")]
            return [_durability(one, _configs(admin, one["name"])) for one in described]
        finally:
            admin.close()
    except KafkaError as error:
        raise translated(error, "describe topics") from error


def _durability(described: Mapping[str, Any], configs: Mapping[str, str]) -> TopicDurability:
    partitions = described["partitions"]
    retention, unclean = configs.get("retention.ms"), configs.get("unclean.leader.election.enable")
    insync = configs.get("min.insync.replicas")
    return TopicDurability(
        topic=str(described["name"]),
        partitions=len(partitions),
        replicas=min(len(_replicas(partition)) for partition in partitions),
        min_insync=int(insync) if insync else None,
        retention_seconds=float(retention) / 1000 if retention else None,
        unclean_elections=unclean == "true" if unclean else None,
    )


def _replicas(partition: Mapping[str, Any]) -> list[Any]:
    return list(partition.get("replica_nodes", partition.get("replicas", ())))


def _configs(admin: Any, topic: str) -> dict[str, str]:
    """A topic's settings by name, defaults too; {} where the brokers do not answer that question."""
    try:
        answered = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
    except KafkaError:
        return {}
    return settings_of(answered, topic)


def settings_of(answered: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]], topic: str) -> dict[str, str]:
    """Settings out of kafka-python's answer: kind of resource -> name -> setting -> its data."""
    for resources in answered.values():
        if topic in resources:
            return {
                name: str(data["value"]) for name, data in resources[topic].items() if data.get("value") is not None
            }
    return {}
