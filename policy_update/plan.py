"""Whether there is something to train, and on what. 'Not now' is a normal outcome, with the reason."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from infra.contracts import BASE_ADAPTER, Interaction
from infra.contracts.adapters import parse_ref
from infra.settings import Settings
from policy_update import repository
from policy_update.chain import reason_to_reset
from policy_update.prompt_file import read_prompt_file
from policy_update.prompts import PromptSet, select_prompts


@dataclass(frozen=True)
class TrainingPlan:
    """One cycle: which reward model, beside which champion, on which prompts, and why now.

    `champion` is what everybody is served and what candidates are held against; training begins at `start`, which is
    the champion or, on a reset (`reset` says why), the base. Paths are None for the base. Candidates get versions from
    `version` on; `turn` counts cycles from 1. `logged`: interactions whose answers may be learned from as they are.
    """

    reward_model: str
    reward_model_path: Path
    champion: str
    champion_path: Path | None
    prompts: PromptSet
    name: str
    version: int
    turn: int = 1
    logged: tuple[Interaction, ...] = ()
    trigger: str = ""
    reset: str = ""

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def start(self) -> str:
        """The adapter that training goes on from."""
        return BASE_ADAPTER if self.reset else self.champion

    @property
    def start_path(self) -> Path | None:
        """The folder of `start`; None for the base."""
        return None if self.reset else self.champion_path


def make_plan(connection: Connection, settings: Settings) -> TrainingPlan | str:
    """The next cycle, or why there is none now. Raises InvalidPromptFile."""
    project, wanted = settings.project, settings.policy_update
    row = repository.champion_reward_model(connection, project, settings.reward_model.name)
    if row is None:
        return _no_champion(connection, settings)
    reward_model = f"{row['name']}@{row['version']}"
    trigger, quiet = _trigger(connection, settings, reward_model)
    if quiet:
        return quiet
    if repository.tainted(connection, project, "reward_model", reward_model):
        return f"{reward_model} learned from a person who was erased; waiting for a clean one"
    held = _held_by_experiments(connection, project)
    if held:
        return held
    recent = repository.recent_conversations(connection, project, wanted.max_prompts)
    given = read_prompt_file(wanted.prompt_file) if wanted.prompt_file else {}
    prompts = select_prompts(recent, wanted.held_out_share, wanted.max_prompts, given)
    missing = wanted.min_prompts - len(prompts)
    if missing > 0 or not prompts.training or not prompts.held_out:
        return f"not enough evidence to train: {max(missing, 1)} more distinct prompts are needed"
    champion, path = _champion(connection, project)
    if champion != BASE_ADAPTER and path is None:
        return f"champion {champion} has no row in the store; restore it before training on top of it"
    chain = repository.chain_to_base(connection, project, champion)
    return TrainingPlan(
        reward_model=reward_model,
        reward_model_path=Path(row["path"]),
        champion=champion,
        champion_path=path,
        prompts=prompts,
        name=wanted.adapter_name,
        version=repository.next_version(connection, project, wanted.adapter_name),
        turn=repository.cycles(connection, project, wanted.adapter_name) + 1,
        logged=_logged(connection, settings),
        trigger=trigger,
        reset=reason_to_reset(chain, wanted.retrain_from_base_every, wanted.retrain_kl_to_base),
    )


def _champion(connection: Connection, project: str) -> tuple[str, Path | None]:
    """Whom candidates are held against, and its folder; None for the base, and where no row says where it is."""
    champion = repository.champion(connection, project)
    if champion == BASE_ADAPTER or repository.tainted(connection, project, "adapter", champion):
        return BASE_ADAPTER, None  # a tainted one learned from a person who was erased: what follows begins at the base
    adapter = repository.adapter_row(connection, project, *parse_ref(champion))
    return champion, None if adapter is None else Path(adapter["path"])


def _trigger(connection: Connection, settings: Settings, reward_model: str) -> tuple[str, str]:
    """(why to train now, ""), or ("", why not): a new champion reward model, or news enough since the last training."""
    project, wanted = settings.project, settings.policy_update
    if not repository.trained_with(connection, project, reward_model):
        return f"new reward model {reward_model}", ""
    since = repository.last_training(connection, project) or 0.0
    missing = []
    if wanted.new_prompts:
        found = repository.interactions_since(connection, project, since)
        if found >= wanted.new_prompts:
            return f"{found} new interactions", ""
        missing.append(f"{wanted.new_prompts - found} more interactions")
    if wanted.new_labels:
        found = repository.final_labels_since(connection, project, since)
        if found >= wanted.new_labels:
            return f"{found} new final labels", ""
        missing.append(f"{wanted.new_labels - found} more final labels")
    waits = " or ".join(["a better reward model", *missing])
    return "", f"an adapter has already been trained against {reward_model}; waiting for {waits}"


def _logged(connection: Connection, settings: Settings) -> tuple[Interaction, ...]:
    wanted = settings.policy_update
    if not wanted.logged_answers:
        return ()
    return tuple(repository.logged_interactions(connection, settings.project, wanted.max_prompts))


def _held_by_experiments(connection: Connection, project: str) -> str:
    """Why training waits for people's verdict, or "". Only the first candidate of a cycle holds the loop: once one of
    its cycle was decided, the champion stands or has changed, and the others wait in their queue beside a training."""
    running = repository.running_experiment(connection, project)
    if running is not None and repository.first_of_its_cycle(connection, project, running[1]):
        return f"experiment {running[0]} is running; its challenger comes first"
    waiting = repository.waiting_challengers(connection, project)
    first = [ref for ref in waiting if repository.first_of_its_cycle(connection, project, ref)]
    if first:
        return f"challenger {first[0]} is waiting for its experiment"
    return ""


def _no_champion(connection: Connection, settings: Settings) -> str:
    row = repository.newest_reward_model(connection, settings.project, settings.reward_model.name)
    if row is None:
        return "no reward model has been trained yet"
    why = row["metrics"].get("champion", {}).get("reason", "no reason is recorded")
    return f"no reward model is good enough to train against; the newest, {row['name']}@{row['version']}: {why}"
