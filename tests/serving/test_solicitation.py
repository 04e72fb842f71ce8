"""The gateway says about which answers a page shall ask for a vote, drawn at random, and with which probability."""

from infra.settings.rewards import SolicitationSettings
from ingest.solicitation import HEADER, decide
from tests.serving.conftest import Served


def test_answers_drawn_at_random_carry_the_probability(served: Served) -> None:
    assert HEADER not in served.chat(user="ann").headers  # nobody is asked unless a rate is set
    settings = served.context.settings
    chance = SolicitationSettings(rate=0.5)
    ingest = settings.ingest.model_copy(update={"solicitation": chance})
    object.__setattr__(served.context, "settings", settings.model_copy(update={"ingest": ingest}))
    asked = []
    for _ in range(12):
        answer = served.chat(user="ann")
        decision = decide(settings.project, answer.json()["id"], 0, rate=0.5, salt=chance.salt)
        assert answer.headers.get(HEADER) == ("0.5" if decision.asked else None)
        asked.append(decision.asked)
    assert len(set(asked)) == 2
