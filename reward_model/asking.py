"""Versions asked again later: one on the labels there are now, two against each other."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import RowMapping

from infra.contracts import PlauditError
from infra.models.loading import load_base
from infra.runtime import Context
from reward_model.champion import Decision, compared, unseen_by
from reward_model.data import TrainingSet
from reward_model.evaluating import evaluate
from reward_model.findings import Examined, plain
from reward_model.held_out import held_out_judgments
from reward_model.judging import ref_of, rule_of, standing_of, trained_on
from reward_model.pipeline import read_features, recipe_of
from reward_model.predicting import Read, predictions
from reward_model.repository import instant_seconds
from reward_model.scoring import open_reward_model
from reward_model.service import load_training_set
from reward_model.versions_repository import VersionRepository


class UnknownVersion(PlauditError):
    """No reward model has that name or version."""

    code = "unknown_version"
    status = 404


class NothingUnseen(PlauditError):
    """There is no judgment that a version did not learn from."""

    code = "nothing_unseen"
    status = 409


@dataclass(frozen=True)
class Evaluated:
    """A version measured now: on all labels and pairs there are of answers that it did not learn from."""

    ref: str
    state: str
    examined: Examined

    def document(self) -> dict[str, Any]:
        """As plain data."""
        found = plain(self.examined.document)
        return {"reward_model": self.ref, "state": self.state, "lines": list(self.examined.lines), "evaluation": found}


@dataclass(frozen=True)
class Compared:
    """Two versions on the same judgments, which neither learned from; `decision.promoted` says whether `a` is shown to
    be better than `b`."""

    a: str
    b: str
    decision: Decision

    def document(self) -> dict[str, Any]:
        """As plain data."""
        found: dict[str, Any] = plain(self.decision.document())
        better = found.pop("promoted")
        return {"a": self.a, "b": self.b, "a_is_better": better, **found}


def evaluate_version(context: Context, wanted: str = "champion") -> Evaluated:
    """Measure a version (see `version_row`) on the labels there are now. Raises UnknownVersion, NothingUnseen."""
    row = version_row(context, wanted)
    read = _read(context, [row])
    _require_judgments(read.data, ref_of(row))
    standing, model = standing_of(context), open_reward_model(row["path"], read.loaded)
    champion = standing.champion
    beside = champion if champion is not None and ref_of(champion) != ref_of(row) else None
    other = None if beside is None else open_reward_model(beside["path"], read.loaded)
    examined = evaluate(read, model, other, standing.served, context.settings.reward_model)
    return Evaluated(ref_of(row), str(row["state"]), examined)


def compare_versions(context: Context, first: str, second: str) -> Compared:
    """Compare two versions on all judgments that neither learned from, by the test that makes champions.

    Raises UnknownVersion. Too few judgments is a decision too: nothing is shown.
    """
    rows = [version_row(context, wanted) for wanted in (first, second)]
    read = _read(context, rows)
    models = [open_reward_model(row["path"], read.loaded) for row in rows]
    judgments = held_out_judgments(read.data, None, {name for model in models for name in model.objectives})
    mine, theirs = (predictions(model, read, judgments.rows) for model in models)
    decision = compared(judgments, mine, theirs, ref_of(rows[1]), rule_of(context))
    return Compared(ref_of(rows[0]), ref_of(rows[1]), decision)


def version_row(context: Context, wanted: str) -> RowMapping:
    """The row of `champion`, `newest`, a number, or `name@number`. Raises UnknownVersion, which lists what there is."""
    name, _, number = wanted.rpartition("@")
    name = name or context.settings.reward_model.name
    with context.database.reading() as connection:
        versions = VersionRepository(connection, context.settings.project)
        known = versions.all_versions(name)
        found = versions.champion(name) if number == "champion" else known[-1] if number == "newest" and known else None
    if found is None:
        found = next((row for row in known if str(row["version"]) == number), None)
    if found is None:
        there = ", ".join(f"{ref_of(row)} ({row['state']})" for row in known) or "none yet"
        raise UnknownVersion(f"no reward model is {wanted!r}; there are: {there}", field="version")
    return found


def _read(context: Context, rows: list[RowMapping]) -> Read:
    """The training set of now, its hold-out being everything that none of the versions learned from."""
    data = load_training_set(context, context.clock.now())
    unseen = np.ones(len(data.answers), bool)
    for row in rows:
        unseen &= unseen_by(data, trained_on(context, row), instant_seconds(row["labels_as_of"]))
    if not data.answers:
        raise NothingUnseen("there are no labels to measure on: wait for feedback", field="labels")
    data, settings = _held_out(data, unseen), context.settings
    loaded = load_base(settings)
    features = read_features(settings, loaded, data)
    return Read(data, loaded, recipe_of(settings, loaded), features, settings.reward_model.batch_size)


def _held_out(data: TrainingSet, unseen: NDArray[np.bool_]) -> TrainingSet:
    split = replace(data.split, held_out=unseen, left_out=np.zeros(len(unseen), bool))
    return replace(data, split=split)


def _require_judgments(data: TrainingSet, ref: str) -> None:
    if not len(held_out_judgments(data)):
        raise NothingUnseen(
            f"{ref} learned from, or shares conversations and prompts with, all labels there are: wait for new ones",
            field="labels",
        )
