"""What the store says about the champion, and whether a new version replaces it."""

from dataclasses import dataclass, replace

from sqlalchemy import RowMapping

from infra.runtime import Context
from reward_model.champion import CHANCE, Decision, Rule, compared, unseen_by
from reward_model.data import TrainingSet
from reward_model.files import DamagedRewardModel
from reward_model.held_out import Predictions, held_out_judgments
from reward_model.predicting import Read, predictions
from reward_model.repository import RewardModelRepository, instant_seconds
from reward_model.scoring import AnyRewardModel, open_reward_model
from reward_model.service import load_training_set
from reward_model.versions_repository import VersionRepository


@dataclass(frozen=True)
class Standing:
    """What the store says before a version is added: the newest version and the champion, whether somebody that the
    champion learned from was erased, and the policy people are served."""

    newest: RowMapping | None
    champion: RowMapping | None
    champion_tainted: bool
    served: str

    @property
    def next_version(self) -> int:
        return 1 if self.newest is None else int(self.newest["version"]) + 1


def standing_of(context: Context) -> Standing:
    """Read the store once."""
    project, name = context.settings.project, context.settings.reward_model.name
    with context.database.reading() as connection:
        versions = VersionRepository(connection, project)
        champion = versions.champion(name)
        tainted = champion is not None and versions.tainted_at(name, champion["version"]) is not None
        newest = RewardModelRepository(connection, project).newest(name)
        return Standing(newest, champion, tainted, versions.served_adapter())


def load_champion(standing: Standing, read: Read) -> tuple[AnyRewardModel | None, str]:
    """The champion to compare with, or None and why a new version needs only to beat chance."""
    row = standing.champion
    if row is None:
        return None, ""
    if standing.champion_tainted:
        return None, f"{ref_of(row)} learned from a person who was erased"
    if row["base_model_hash"] != read.loaded.base_model_hash:
        return None, f"{ref_of(row)} reads another base model"
    try:
        return open_reward_model(row["path"], read.loaded), ""
    except DamagedRewardModel as error:
        return None, f"{ref_of(row)} cannot be loaded ({error})"


def decide(
    context: Context,
    read: Read,
    challenger: AnyRewardModel,
    standing: Standing,
    champion: AnyRewardModel | None,
    problem: str,
) -> Decision:
    """Whether the challenger becomes champion, by the rule of the settings."""
    wanted = context.settings.reward_model
    if wanted.champion_rule == "newest":
        return Decision(True, "reward_model.champion_rule is newest: every version becomes champion", CHANCE)
    if champion is not None and standing.champion is not None:
        return against(context, read, challenger, champion, standing.champion)
    judgments = held_out_judgments(read.data, None, challenger.objectives)
    mine = predictions(challenger, read, judgments.rows)
    found = compared(judgments, mine, Predictions({}), CHANCE, rule_of(context))
    return replace(found, reason=f"{problem}; {found.reason}") if problem else found


def against(
    context: Context, read: Read, challenger: AnyRewardModel, champion: AnyRewardModel, row: RowMapping
) -> Decision:
    """The challenger against another version, whose `row` says what it learned from, on the hold-out of `read` that
    the other did not learn from."""
    allowed = unseen_by(read.data, trained_on(context, row), instant_seconds(row["labels_as_of"]))
    judgments = held_out_judgments(read.data, allowed, {*challenger.objectives, *champion.objectives})
    mine, theirs = (predictions(model, read, judgments.rows) for model in (challenger, champion))
    return compared(judgments, mine, theirs, ref_of(row), rule_of(context))


def trained_on(context: Context, row: RowMapping) -> TrainingSet | None:
    """The training set of a version, rebuilt as of its instant; None when the store no longer gives the same one."""
    rebuilt = load_training_set(context, instant_seconds(row["labels_as_of"]))
    held_out = row["metrics"].get("settings", {}).get("hold_out_fraction")
    same = rebuilt.content_hash == row["data_hash"] and held_out == context.settings.reward_model.hold_out_fraction
    return rebuilt if same else None


def rule_of(context: Context) -> Rule:
    """The rule the settings state."""
    wanted = context.settings.reward_model
    return Rule(wanted.champion_min_people, wanted.champion_min_judgments, 2000, wanted.seed)


def ref_of(row: RowMapping) -> str:
    """`name@version` of a row."""
    return f"{row['name']}@{row['version']}"
