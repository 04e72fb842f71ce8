"""A simulated population that votes: honest people of two tastes, careless ones, and coordinated accounts.

What is assumed. Answers have eight hidden qualities z ~ N(0, I). People of a taste like an answer with probability
s(0.2 + 1.5 w.z + e), |w| = 1, where e ~ N(0, 0.5) is an appeal of its own to each taste that no feature shows; the
minority's w is orthogonal to the majority's. The estimator sees features x = z + N(0, 0.7), about two thirds signal,
or none. Honest and careless people vote 5 to 30 times, on answers drawn by a popularity that is log-normal (sigma 1);
careless people like with a rate of their own, uniform in [0.3, 0.9], whatever the answer. Answers appear over ten days,
votes follow with an exponential lag of half a day. Coordinated accounts vote `Attack.votes` times each: on targets of
their ring, liking those that the majority dislikes and the other way round (the most harmful votes there are); the
rest are honest-looking votes on popular answers, drawn from the majority's own probabilities. The truth about an answer
is what honest people would say on average: 0.8 of the majority's probability and 0.2 of the minority's.

Two things that look like an attack and are none may be added: teams, ten people of the majority who share one pool of
forty answers and vote on 25 of them each; and a minority that is the majority's opposite (`cosine` -0.8).
"""

from dataclasses import dataclass

import numpy as np

from infra.contracts import Answer, FeedbackEvent, Interaction, Message, uuid7
from ingest.trust.evidence import Evidence, Floats, Ints

DAY = 86400.0
MAJORITY, MINORITY, CARELESS, RING = range(4)
ROLES = ("majority", "minority", "careless", "coordinated")


@dataclass(frozen=True)
class Attack:
    """How the coordinated accounts go about it."""

    name: str = "plain"
    votes: int = 200
    rings: int = 1
    targets: int = 400
    """Targets of each ring."""
    camouflage: float = 0.0
    """Share of votes that only look honest."""
    dissent: float = 0.0
    """Share of votes on targets that say the opposite, to look less alike."""
    promote_only: bool = False


@dataclass(frozen=True)
class Population:
    """The votes with what nobody knows in production: roles (people,), and the truth (items,) about each answer."""

    evidence: Evidence
    role: Ints
    truth: Floats


def simulate(
    seed: int,
    attack: Attack | None = None,
    *,
    people: int = 2000,
    answers: int = 3000,
    cosine: float = 0.0,
    featureless: bool = False,
    teams: int = 0,
) -> Population:
    """Votes of a population with 5 % coordinated, 20 % careless, 15 % of another taste; 60 % the majority."""
    attack = attack or Attack()
    rng = np.random.default_rng(seed)
    role = rng.permutation(
        np.repeat([MAJORITY, MINORITY, CARELESS, RING], np.round(np.array([0.6, 0.15, 0.2, 0.05]) * people).astype(int))
    )
    hidden = rng.normal(size=(answers, 8))
    appeal = _appeal(rng, hidden, cosine)
    popularity = rng.lognormal(0.0, 1.0, answers)
    popularity /= popularity.sum()
    born = rng.uniform(0.0, 10 * DAY, answers)
    rows: list[tuple[Ints, Floats]] = []
    targets = [rng.choice(answers, attack.targets, replace=False) for _ in range(attack.rings)]
    pool = _pools(rng, role, teams, popularity)
    for person in range(len(role)):
        if role[person] == RING:
            rows.append(_attack(rng, attack, targets[person % attack.rings], appeal, popularity))
            continue
        if person in pool:
            seen = rng.choice(pool[person], 25, replace=False)
        else:
            seen = rng.choice(answers, rng.integers(5, 31), replace=False, p=popularity)
        if role[person] == CARELESS:
            says = rng.random(len(seen)) < rng.uniform(0.3, 0.9)
        else:
            says = rng.random(len(seen)) < appeal[seen, role[person]]
        rows.append((seen, says.astype(float)))
    person = np.repeat(np.arange(len(role)), [len(seen) for seen, _ in rows])
    item = np.concatenate([seen for seen, _ in rows])
    features = hidden + rng.normal(0.0, 0.7, hidden.shape)
    evidence = Evidence(
        len(role),
        answers,
        person,
        item,
        np.concatenate([says for _, says in rows]),
        1_700_000_000.0 + born[item] + rng.exponential(DAY / 2, len(item)),
        np.zeros((answers, 0)) if featureless else features / features.std(axis=0),
        np.full((len(item), 0), -1, np.int8),
    )
    return Population(evidence, role, 0.8 * appeal[:, MAJORITY] + 0.2 * appeal[:, MINORITY])


def _pools(rng: np.random.Generator, role: Ints, teams: int, popularity: Floats) -> dict[int, Ints]:
    """The answers that each member of a team chooses from."""
    members = np.flatnonzero(role == MAJORITY)[: 10 * teams]
    pools = [rng.choice(len(popularity), 40, replace=False, p=popularity) for _ in range(teams)]
    return {int(person): pools[i // 10] for i, person in enumerate(members)}


def _appeal(rng: np.random.Generator, hidden: Floats, cosine: float) -> Floats:
    """(answers, 2): how the majority and the minority like each answer."""
    first, second = np.linalg.qr(rng.normal(size=(8, 2)))[0].T
    other = cosine * first + np.sqrt(1.0 - cosine**2) * second
    odds = 0.2 + 1.5 * hidden @ np.stack([first, other], axis=1) + rng.normal(0.0, 0.5, (len(hidden), 2))
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))


def _attack(
    rng: np.random.Generator, attack: Attack, targets: Ints, appeal: Floats, popularity: Floats
) -> tuple[Ints, Floats]:
    """Answers and votes of one coordinated account."""
    aimed = min(round(attack.votes * (1.0 - attack.camouflage)), len(targets))
    hit = rng.choice(targets, aimed, replace=False)
    says = np.ones(aimed) if attack.promote_only else (appeal[hit, MAJORITY] < 0.5).astype(float)
    turned = rng.random(aimed) < attack.dissent
    says = np.where(turned, 1.0 - says, says)
    free = popularity.copy()
    free[hit] = 0.0
    seen = rng.choice(len(appeal), attack.votes - aimed, replace=False, p=free / free.sum())
    looks = (rng.random(len(seen)) < appeal[seen, MAJORITY]).astype(float)
    return np.concatenate([hit, seen]), np.concatenate([says, looks])


def interactions_of(population: Population, project: str = "default") -> list[Interaction]:
    """Every answer as an interaction whose words show its features, as far as words can: each quality by a word for
    high or low, the more often the stronger. No two prompts are alike."""
    rng = np.random.default_rng(0)
    made = []
    for i, qualities in enumerate(population.evidence.features):
        said = [f"{'high' if q > 0 else 'low'}{d} " * round(2 * abs(q)) for d, q in enumerate(qualities)]
        asked = " ".join(f"w{w}" for w in rng.integers(0, 100_000, 8))
        made.append(
            Interaction(
                project=project,
                response_id=f"chatcmpl-{i:06}",
                conversation_id=f"c{i}",
                created_at=1_700_000_000.0,
                messages=(Message("user", asked),),
                answers=(Answer(0, "".join(said), "stop"),),
                source="imported",
            )
        )
    return made


def events_of(population: Population, project: str = "default") -> list[FeedbackEvent]:
    """Every vote as a like or dislike, in the order of time; person n has the key `p` and n, answer n its number."""
    evidence = population.evidence
    return [
        FeedbackEvent(
            event_id=str(uuid7()),
            project=project,
            response_id=f"chatcmpl-{evidence.item[row]:06}",
            signal="like" if evidence.value[row] else "dislike",
            received_at=float(evidence.at[row]),
            derived_at=float(evidence.at[row]),
            user_key=key_of(int(evidence.person[row])),
        )
        for row in np.argsort(evidence.at, kind="stable")
    ]


def key_of(person: int) -> str:
    """The user key of a simulated person."""
    return f"p{person:05}" + "0" * 58
