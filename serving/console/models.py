"""The pages of models: every adapter with where it comes from and what came of it, and the proof that it is served."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection
from starlette.requests import Request

from ab_testing.by_hand import PROMOTABLE
from infra.contracts import BASE_ADAPTER, Interaction
from infra.runtime import Context
from serving.console.errors import NothingHere
from serving.console.loop import ref_of
from serving.console.models_repository import ModelsRepository
from serving.console.rendering import instant
from serving.console.repository import ConsoleRepository, Row

ADAPTERS = 60
REWARD_MODELS = 20
PROOFS = 200
ANCESTORS = 24
CHILDREN = 40
ANSWERS = 160
SAMPLES = 6
GROUPS = ("goal", "guardrail", "budget", "capability", "tripwire", "mined", "advice")
_decode = msgspec.msgpack.Decoder(Interaction).decode


def models_view(context: Context, _request: Request) -> tuple[str, dict[str, Any]]:
    """Adapters and reward models, newest first, with proofs by replica."""
    with context.database.reading() as connection:
        repository = ConsoleRepository(connection, context.settings.project)
        adapters, rewards = repository.adapters(ADAPTERS), repository.reward_models(REWARD_MODELS)
        proofs = ModelsRepository(connection, context.settings.project).proofs(PROOFS)
    by_adapter: dict[str, list[Row]] = {}
    for proof in proofs:
        by_adapter.setdefault(proof["adapter"], []).append(proof)
    values = {"adapters": adapters, "rewards": rewards, "proofs": by_adapter, "base": by_adapter.get(BASE_ADAPTER, [])}
    return "models.html", values


def adapter_view(context: Context, request: Request) -> tuple[str, dict[str, Any]]:
    """One adapter. Raises NothingHere, InvalidAdapterRef."""
    ref = request.path_params["adapter"]
    with context.database.reading() as connection:
        project = context.settings.project
        models = ModelsRepository(connection, project)
        row = models.adapter(ref)
        if row is None:
            raise NothingHere(f"there is no adapter {ref}: an old one is never deleted, so this name was never given")
        proofs, children = models.proofs(PROOFS, ref), models.children(ref, CHILDREN)
        met = [
            one
            for one in ConsoleRepository(connection, project).experiments(60)
            if ref in (one["challenger"], one["control"], *one["others"])
        ]
        values = {
            "ref": ref, "row": row, "ancestors": ancestors_of(models, row), "children": children, "proofs": proofs,
            "taints": models.taints(row["name"], row["version"]), "groups": checks_of(row), "met": met,
            "samples": _samples(context, connection, met), "parts": _parts(row), "promotable": PROMOTABLE,
            "show_texts": context.settings.console.show_texts,
        }  # fmt: skip
    return "adapter.html", values


def ancestors_of(models: ModelsRepository, row: Row) -> list[Mapping[str, Any]]:
    """Parents up to the base, the nearest first; at most `ANCESTORS` of them."""
    found: list[Mapping[str, Any]] = []
    parent = row["parent"]
    while len(found) < ANCESTORS:
        if parent == BASE_ADAPTER:
            return [*found, {"ref": BASE_ADAPTER, "state": "base model"}]
        known = models.adapter(parent)
        if known is None:
            return [*found, {"ref": parent, "state": "not in the store"}]
        found.append({"ref": ref_of(known), "state": known["state"]})
        parent = known["parent"]
    return found


def checks_of(row: Row) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """The gate's checks by group, in the gate's order."""
    checks = [*row["gate"].get("checks", []), *({**one, "group": "advice"} for one in row["gate"].get("advice", []))]
    grouped = [(group, [check for check in checks if check.get("group") == group]) for group in GROUPS]
    return [(group, found) for group, found in grouped if found]


def _parts(row: Row) -> list[tuple[str, str]]:
    """The lineage in words."""
    found = []
    for key, value in sorted(row["lineage"].items()):
        told = str(value)
        if key in ("data_since", "data_until"):
            told = instant(float(value))
        elif key == "config_hash":
            told = told[:12]
        found.append((key.replace("_", " "), told))
    return found


def _samples(context: Context, connection: Connection, met: Sequence[Row]) -> list[dict[str, Any]]:
    """Answers of the challenger and of the control to the same question, from the newest experiment."""
    if not context.settings.console.show_texts or not met:
        return []
    newest = next((one for one in met if one["kind"] == "challenge"), met[0])
    rows = ModelsRepository(connection, context.settings.project).answers(newest["experiment_id"], ANSWERS)
    asked: dict[str, dict[str, str]] = {}
    for row in rows:
        said = _decode(row["payload"])
        if said.answers and row["arm"]:
            side = "control" if row["arm"] == "control" else "challenger"
            asked.setdefault(said.prompt, {}).setdefault(side, said.answers[0].text)
    both = [{"prompt": prompt, **sides} for prompt, sides in asked.items() if len(sides) == 2]
    return both[:SAMPLES]
