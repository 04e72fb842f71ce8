"""The feedback window of one seed: the base model's answers to the people who come, and what they do with them.

The answers are drawn once a seed and kept in a file: every arm of the benchmark learns from the same ones.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from infra.contracts import Message, SamplingParameters, new_response_id, uuid7
from infra.models.chat import render_chat
from infra.models.generate import generate
from infra.models.loading import LoadedModel
from infra.models.port import GenerationRequest, GenerationResult
from plaudit.demo.prompts import SYSTEM
from plaudit.people.judge import Judge
from tests.benchmarks import loop_tastes
from tests.benchmarks.loop_people import Seen, Shown, Town, corrupted, honest, kept, look, settle

START = 1_780_000_000.0
"""When the window opens, Unix seconds."""
DAYS = 2.0
MAX_TOKENS = 48
TEMPERATURE = 0.8
CHUNK = 64
SECOND_LOOK_AFTER = 120.0
CORRUPTED_SHARE = 0.3
"""Of votes: n corrupted ones come to (1 - share) / share * n honest ones."""


class Given(msgspec.Struct, frozen=True):
    """One answer that was given: to whom, when, to what, and everything the gateway logs of it."""

    response_id: str
    conversation_id: str
    person: str
    prompt: str
    at: float
    result: GenerationResult
    text: str


class Window(msgspec.Struct, frozen=True):
    """Answers and events; those of corrupted visits apart. `town` are the arguments of `Town`."""

    town: dict[str, Any]
    answers: list[Given]
    events: list[dict[str, Any]]
    corrupted_answers: list[Given]
    corrupted_events: list[dict[str, Any]]

    def people(self) -> Town:
        """The town, with the tastes that were fitted."""
        return Town(
            tastes=loop_tastes.load(), mean=tuple(self.town["mean"]), seed=self.town["seed"], mood=self.town["mood"]
        )


def window(
    base: LoadedModel,
    judge: Judge,
    seed: int,
    people: int,
    prompts: Sequence[str],
    file: Path,
    tell: Callable[[str], None],
) -> Window:
    """The window of `seed`, from its file if that is there."""
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=Window)
    made = _Making(base, judge, seed, prompts, tell).window(people)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.encode(made))
    return made


def messages(prompt: str) -> tuple[Message, ...]:
    """The conversation that a visit opens with."""
    return (Message("system", SYSTEM), Message("user", prompt))


def answer(
    base: LoadedModel, asked: Sequence[str], seed: int, tell: Callable[[str], None], model: Any = None
) -> list[GenerationResult]:
    """One answer to each prompt, in order; the same for the same seed."""
    cache: dict[str, tuple[int, ...]] = {}
    results: list[GenerationResult] = []
    for start in range(0, len(asked), CHUNK):
        some = asked[start : start + CHUNK]
        for prompt in some:
            if prompt not in cache:
                cache[prompt] = tuple(render_chat(base, messages(prompt)))
        wanted = [
            GenerationRequest(
                prompt_token_ids=cache[prompt],
                sampling=SamplingParameters(
                    temperature=TEMPERATURE, max_tokens=MAX_TOKENS, seed=(seed * 1_000_003 + start + place) % 2**31
                ),
            )
            for place, prompt in enumerate(some)
        ]
        results += generate(base, wanted, model=model)
        tell(f"{len(results)} of {len(asked)} answers")
    return results


def text_of(base: LoadedModel, result: GenerationResult) -> str:
    """What a person reads."""
    return str(base.tokenizer.decode(result.token_ids, skip_special_tokens=True)).strip()


class _Making:
    """One window in the making."""

    def __init__(
        self, base: LoadedModel, judge: Judge, seed: int, prompts: Sequence[str], tell: Callable[[str], None]
    ) -> None:
        self._base, self._judge, self._seed, self._prompts, self._tell = base, judge, seed, prompts, tell

    def window(self, people: int) -> Window:
        """First answers to `people` people, second ones to those who ask again, then those who corrupt."""
        rng = np.random.default_rng([self._seed, 5])
        asked = [self._prompts[int(i)] for i in rng.integers(len(self._prompts), size=people)]
        times = START + np.sort(rng.uniform(0, DAYS * 86400.0, people))
        first, seen = self._given(asked, times, range(people), 1)
        town = settle(self._seed, loop_tastes.load(), seen)
        events, again, feelings = self._reactions(town, first, seen, 0)
        second, second_seen = self._given(
            [first[i].prompt for i in again], [first[i].at + SECOND_LOOK_AFTER for i in again], again, 2, first
        )
        more, _, later = self._reactions(town, second, second_seen, 1, again)
        for place, i in enumerate(again):
            pair = (first[i].response_id, feelings[i]), (second[place].response_id, later[place])
            more += kept(town, i, *pair, at=second[place].at + 60.0)
        events += more
        wrong, wrong_events = self._corrupted(town, rng, first, _votes(events))
        kept_town = {"seed": self._seed, "mean": list(town.mean), "mood": town.mood}
        return Window(kept_town, first + second, events, wrong, wrong_events)

    def _given(
        self,
        asked: Sequence[str],
        times: Sequence[float],
        people: Sequence[int],
        turn: int,
        before: Sequence[Given] = (),
        names: Sequence[str] = (),
    ) -> tuple[list[Given], Seen]:
        results = answer(self._base, asked, self._seed * 10 + turn, self._tell)
        given = []
        for place, (prompt, at, who, result) in enumerate(zip(asked, times, people, results, strict=True)):
            conversation = before[who].conversation_id if before else str(uuid7())
            name = names[place] if names else f"loop-{self._seed}-{who}"
            text = text_of(self._base, result)
            given.append(Given(new_response_id(), conversation, name, prompt, float(at), result, text))
        finished = [one.result.finish_reason == "stop" for one in given]
        return given, look(self._judge, asked, [one.text for one in given], finished)

    def _reactions(
        self, town: Town, given: Sequence[Given], seen: Seen, turn: int, people: Sequence[int] = ()
    ) -> tuple[list[dict[str, Any]], list[int], list[float]]:
        """Events, who asks again, and how each feels."""
        events: list[dict[str, Any]] = []
        again, feelings = [], []
        for place, one in enumerate(given):
            who = people[place] if people else place
            age = (one.at - START) / (DAYS * 86400.0)
            shown = Shown(one.response_id, one.text, seen.one(place), one.at, turn)
            reaction, u = honest(town, who, shown, age)
            events += reaction.events
            feelings.append(u)
            if reaction.asks_again:
                again.append(who)
        return events, again, feelings

    def _corrupted(
        self, town: Town, rng: np.random.Generator, first: Sequence[Given], votes: int
    ) -> tuple[list[Given], list[dict[str, Any]]]:
        from tests.benchmarks.loop_people import account_name

        number = round(votes * CORRUPTED_SHARE / (1 - CORRUPTED_SHARE))
        asked = [self._prompts[int(i)] for i in rng.integers(len(self._prompts), size=number)]
        times = START + np.sort(rng.uniform(0, DAYS * 86400.0, number))
        names = [account_name(town, i) for i in range(number)]
        given, seen = self._given(asked, times, range(number), 3, names=names)
        usual = float(np.median([len(one.text) for one in first]))
        events = []
        for i, one in enumerate(given):
            events += corrupted(town, i, Shown(one.response_id, one.text, seen.one(i), one.at), usual)
        return given, events


def _votes(events: Sequence[dict[str, Any]]) -> int:
    return sum(one["signal"] in ("like", "dislike") for one in events)
