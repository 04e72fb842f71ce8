"""The page of the loop: one turn a row, from the feedback it learned from to what was decided."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.requests import Request

from infra.runtime import Context
from serving.console.errors import NothingHere
from serving.console.repository import ConsoleRepository, Row

TURNS = 12
ADAPTERS = 120
JOBS = (
    "label",
    "trust",
    "reward-model",
    "policy-update",
    "decide",
    "dwell-model",
    "propensity",
    "validity",
    "registry",
    "retention",
    "adapter-retention",
)
"""Jobs of the loop in its order; those that never ran here are left out."""
WAITING_AT_MOST = 20_000


def loop_view(context: Context, _request: Request) -> tuple[str, dict[str, Any]]:
    """Turns, newest first, and how the jobs are doing."""
    with context.database.reading() as connection:
        repository = ConsoleRepository(connection, context.settings.project)
        adapters, rewards = repository.adapters(ADAPTERS), repository.reward_models(TURNS + 1)
        experiments = repository.experiments(4 * TURNS)
        decided = repository.last_decisions([row["experiment_id"] for row in experiments])
        runs = [run for job in JOBS if (run := repository.last_run(job)) is not None]
        waiting, newest = repository.labels_waiting(WAITING_AT_MOST), repository.newest_label_at()
        champion = repository.serving()
    turns = turns_of(adapters, rewards, experiments, decided)[:TURNS]
    values = {
        "turns": turns, "runs": runs, "waiting": waiting, "waiting_at_most": WAITING_AT_MOST, "newest_label": newest,
        "since": None if champion is None else champion["updated_at"], "failed": _failing(runs),
        "reward_model": next((row for row in rewards if row["state"] == "champion"), None),
    }  # fmt: skip
    return "loop.html", values


def run_view(context: Context, request: Request) -> tuple[str, dict[str, Any]]:
    """One run of a job. Raises NothingHere."""
    with context.database.reading() as connection:
        found = ConsoleRepository(connection, context.settings.project).run(request.path_params["run"])
    if found is None:
        raise NothingHere("this run is no longer kept: see jobs.keep_runs_seconds")
    return "run.html", {"run": found}


def turns_of(
    adapters: Sequence[Row], rewards: Sequence[Row], experiments: Sequence[Row], decided: Mapping[str, Row]
) -> list[dict[str, Any]]:
    """A turn for each cycle of adapters, and one for each reward model that no adapter came from; newest first."""
    by_cycle: dict[tuple[str, str], list[Row]] = {}
    for row in adapters:
        by_cycle.setdefault((row["name"], row["lineage"].get("cycle") or str(row["version"])), []).append(row)
    known = {f"{row['name']}@{row['version']}": row for row in rewards}
    used: set[str] = set()
    turns = []
    for candidates in by_cycle.values():
        first = candidates[-1]
        taught = str(first["lineage"].get("reward_model", ""))
        used.add(taught)
        refs = {ref_of(row) for row in candidates}
        met = [one for one in experiments if refs & {one["challenger"], *one["others"]}]
        turns.append(_turn(first["created_at"], known.get(taught), taught, first, candidates[::-1], met, decided))
    turns += [
        _turn(row["created_at"], row, ref, None, [], [], decided) for ref, row in known.items() if ref not in used
    ]
    return sorted(turns, key=lambda turn: turn["at"], reverse=True)


def ref_of(row: Row) -> str:
    """`name@version` of a row of adapters or reward models."""
    return f"{row['name']}@{row['version']}"


def _turn(
    at: float,
    reward: Row | None,
    taught: str,
    first: Row | None,
    candidates: Sequence[Row],
    met: Sequence[Row],
    decided: Mapping[str, Row],
) -> dict[str, Any]:
    lineage = {} if first is None else first["lineage"]
    challenge = next((one for one in met if one["kind"] == "challenge"), None)
    verdict = None if challenge is None else decided.get(challenge["experiment_id"])
    return {
        "at": at,
        "window": (_number(lineage.get("data_since")), _number(lineage.get("data_until"))),
        "as_of": None if reward is None else _iso(reward["labels_as_of"]),
        "labels": None if reward is None else reward["labels_used"],
        "reward": reward,
        "reward_ref": taught,
        "run": lineage.get("job_run", ""),
        "trigger": lineage.get("trigger", ""),
        "candidates": candidates,
        "passed": sum(row["state"] not in ("refused", "candidate") for row in candidates),
        "experiment": challenge,
        "holdback": next((one for one in met if one["kind"] == "holdback"), None),
        "decision": verdict,
    }


def _failing(runs: Sequence[Row]) -> list[Row]:
    return [run for run in runs if run["status"] in ("failed", "abandoned")]


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _iso(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
