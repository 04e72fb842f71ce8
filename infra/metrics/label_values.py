"""What each label may say, and how many different things at most: the size of `/metrics` does not grow with traffic."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    """`what`: where its values come from; `most`: how many there can be; `values`: all of them, where they are few."""

    what: str
    most: int
    values: frozenset[str] | None = None


def _closed(*values: str, what: str = "") -> Bound:
    return Bound(what or ", ".join(f"`{value}`" for value in values), len(values), frozenset(values))


BOUNDS: dict[str, Bound] = {
    "adapter": Bound("`name@version` of what is loaded or wanted: champion, the one before, arms, pinned ones", 50),
    "against": _closed("champion", "base"),
    "arm": _closed("challenger", "control"),
    "check": Bound("checks of the gate, then `other`", 50),
    "code": Bound("stable codes of errors and reasons, as the code declares them", 60),
    "component": Bound("readiness checks and parts of a process", 20),
    "config_hash": Bound("one a process", 1),
    "error": Bound("classes of errors of the store's and the log's clients", 20),
    "group": Bound("consumer groups: one, and those of replays", 5),
    "head": Bound("objectives of the deployment, `utility`, then `other`", 50),
    "how": _closed("computed", "reused"),
    "job_name": Bound("declared jobs", 20),
    "kind": Bound("kinds of items, tokens, decisions, or rows, as the metric says", 20),
    "measure": Bound("measures of a held-out report", 10),
    "metric": Bound("metrics of experiments, by settings", 25),
    "name": Bound("reward models of the deployment: one", 2),
    "objective": Bound("objectives of the deployment", 50),
    "origin": _closed("command", "log"),
    "outcome": Bound("how something ended, as the metric says", 8),
    "partition": Bound("partitions of a topic that this process reads", 1024),
    "reason": Bound("stable reasons of refusals and dead letters", 40),
    "replica": Bound("replicas of the engine: servers by settings, or `local`", 64),
    "signal": _closed("errors", "empty", "slow"),
    "slo": _closed("availability", "first_token", "feedback"),
    "state": _closed("candidate", "refused", "reserve", "challenger", "champion", "retired", "rejected"),
    "status": _closed("provisional", "final", "proven", "indistinguishable", "refused", "unloaded"),
    "stream": _closed("true", "false"),
    "test": _closed("better", "worse", "not_inferior"),
    "topic": Bound("topics of the deployment: feedback, interactions, erasures", 3),
    "version": Bound("one a process", 1),
    "why": Bound("reasons of `serving.routing_state.Why`", 20),
}
"""Label -> its bound. A test holds the catalogue, and a running system under odd traffic, to it."""
