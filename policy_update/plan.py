"""Whether there is something to train, and on what. 'Not now' is a normal outcome, with the reason."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from infra.contracts import BASE_ADAPTER
from infra.contracts.adapters import parse_ref
from infra.settings import Settings
from policy_update import repository
from policy_update.prompts import PromptSet, select_prompts


@dataclass(frozen=True)
class TrainingPlan:
    """One update: which reward model, from which champion, on which prompts, to which version."""

    reward_model: str
    reward_model_path: Path
    champion: str
    champion_path: Path | None
    prompts: PromptSet
    name: str
    version: int

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"


def make_plan(connection: Connection, settings: Settings) -> TrainingPlan | str:
    """The next update, or why there is none now."""
    project, wanted = settings.project, settings.policy_update
    row = repository.champion_reward_model(connection, project, settings.reward_model.name)
    if row is None:
        return _no_champion(connection, settings)
    reward_model = f"{row['name']}@{row['version']}"
    if repository.trained_with(connection, project, reward_model):
        return f"an adapter has already been trained against {reward_model}; waiting for a better reward model"
    if repository.tainted(connection, project, "reward_model", reward_model):
        return f"{reward_model} learned from a person who was erased; waiting for a clean one"
    running = repository.running_experiment(connection, project)
    if running is not None:
        return f"experiment {running} is running; its challenger comes first"
    waiting = repository.waiting_challenger(connection, project)
    if waiting is not None:
        return f"challenger {waiting} is waiting for its experiment"
    recent = repository.recent_conversations(connection, project, wanted.max_prompts)
    prompts = select_prompts(recent, wanted.held_out_share, wanted.max_prompts)
    missing = wanted.min_prompts - len(prompts)
    if missing > 0 or not prompts.training or not prompts.held_out:
        return f"not enough evidence to train: {max(missing, 1)} more distinct prompts are needed"
    champion = repository.champion(connection, project)
    path = None
    if champion != BASE_ADAPTER and repository.tainted(connection, project, "adapter", champion):
        champion = BASE_ADAPTER  # it learned from a person who was erased: what follows begins at the base
    if champion != BASE_ADAPTER:
        adapter = repository.adapter_row(connection, project, *parse_ref(champion))
        path = Path(adapter["path"]) if adapter is not None else None
        if path is None:
            return f"champion {champion} has no row in the store; restore it before training on top of it"
    return TrainingPlan(
        reward_model=reward_model,
        reward_model_path=Path(row["path"]),
        champion=champion,
        champion_path=path,
        prompts=prompts,
        name=wanted.adapter_name,
        version=repository.next_version(connection, project, wanted.adapter_name),
    )


def _no_champion(connection: Connection, settings: Settings) -> str:
    row = repository.newest_reward_model(connection, settings.project, settings.reward_model.name)
    if row is None:
        return "no reward model has been trained yet"
    why = row["metrics"].get("champion", {}).get("reason", "no reason is recorded")
    return f"no reward model is good enough to train against; the newest, {row['name']}@{row['version']}: {why}"
