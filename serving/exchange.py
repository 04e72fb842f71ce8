"""One request and its response: a turn, or the two turns of a duel, and what it holds until it has ended."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from serving.turns import Turn

if TYPE_CHECKING:
    from serving.honeypots import Comparison
    from serving.limits import Ticket


class Exchange:
    """What is the same for all turns is asked of the first; its id is the response's."""

    def __init__(
        self,
        turns: Sequence[Turn],
        ticket: "Ticket",
        *,
        asked_with: float | None = None,
        comparison: "Comparison | None" = None,
        comparison_tokens: Sequence[str] = (),
    ) -> None:
        """`asked_with`: the probability with which the person is asked for a vote; None: is not.
        `comparison_tokens`: feedback tokens of the two known answers shown beside this one."""
        self.turns = tuple(turns)
        self.asked_with = asked_with
        self.comparison = comparison
        self.logged = True  # False once an answer goes out although the log took nothing
        self._comparison_tokens = comparison_tokens
        self._ticket = ticket
        first = turns[0]
        self.chat = first.chat
        self.response_id = first.response_id
        self.created_at = first.created_at
        self.prompt_token_ids = first.prompt_token_ids
        self.choices = sum(turn.chat.choices for turn in turns)

    @property
    def is_duel(self) -> bool:
        """Whether there are two answers side by side."""
        return len(self.turns) > 1

    def cancel(self) -> None:
        """Nobody waits for the answers any more."""
        for turn in self.turns:
            turn.cancel()

    def elapsed(self) -> float:
        """Seconds since the request came."""
        return self.turns[0].elapsed()

    def end(self, now: float) -> None:
        """Give back what it held; again changes nothing."""
        self._ticket.end(sum(turn.drawn_tokens for turn in self.turns), now)

    def notice(self) -> dict[str, Any] | None:
        """The field `plaudit` of the response: what a page needs to ask for a vote between two answers."""
        notice: dict[str, Any] = {}
        if self.is_duel:
            notice["duel"] = {
                "answers": [
                    {
                        "index": place,
                        "response_id": turn.response_id,
                        "choice": 0,
                        "feedback_token": turn.feedback_token,
                    }
                    for place, turn in enumerate(self.turns)
                ]
            }
        if self.comparison is not None:
            shown = zip(self.comparison.answers, self.comparison.texts, self._comparison_tokens, strict=True)
            notice["comparison"] = {
                "prompt": self.comparison.prompt,
                "answers": [
                    {"response_id": response_id, "choice": choice, "text": text, "feedback_token": token}
                    for (response_id, choice), text, token in shown
                ],
            }
        return notice or None
