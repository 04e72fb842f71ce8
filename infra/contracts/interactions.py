"""One served request: prompt messages, the answers, and everything needed to learn from them later (contract 3)."""

import msgspec


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One turn of a conversation. `role` is system, user or assistant."""

    role: str
    content: str


class SamplingParameters(msgspec.Struct, frozen=True, omit_defaults=False):
    """How tokens were drawn. `top_k` 0 and `top_p` 1 mean no truncation; temperature 0 is greedy."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 64
    seed: int | None = None
    stop: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """One sampled completion, token by token.

    `logprobs_raw[t]` is log p(token_t) under the model itself (temperature 1, no truncation), nats;
    `logprobs_sampled[t]` is the log-probability with which the token was really drawn, after temperature, top-p and
    top-k (0.0 when greedy). Imported answers have no tokens: all three sequences are empty.
    """

    choice: int
    text: str
    finish_reason: str
    token_ids: tuple[int, ...] = ()
    logprobs_raw: tuple[float, ...] = ()
    logprobs_sampled: tuple[float, ...] = ()


class DuelSide(msgspec.Struct, frozen=True):
    """This answer was shown beside another one, for a vote between the two.

    `position` 0: shown first; which one is, a fair coin says. `propensity`: the probability with which the request
    became a duel. `opponent` says what the two had in common: `challenger` (one side each of champion and challenger of
    a running experiment), `base` (champion and base), `self` (one adapter drawn twice).
    """

    other_response_id: str
    position: int
    propensity: float
    opponent: str


class HoneypotShown(msgspec.Struct, frozen=True):
    """A pair of known answers was shown for a vote beside this answer; `propensity`: that this pair was."""

    honeypot_id: str
    propensity: float
    better_first: bool


class Interaction(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answers, as written to the topic of interactions.

    `adapter` is `name@version` or `base`. `propensity` is the probability with which the person was assigned to `arm`
    of `experiment`, phase `phase`; all four are None outside an experiment (the uncounted middle included).
    Times are Unix seconds, durations seconds. `source` is `gateway` for our own answers, `duel` for our own that were
    shown in pairs (outside every experiment, whoever asked) and `imported` for answers that were produced elsewhere.
    `why`: the router's reason for the adapter (`counted`, `outside`, `unproven`, `unhealthy` and so on; see
    `serving.routing_state`): an answer of a fallback says so, and is outside every experiment.
    `redacted`: personal data was taken out of texts, or a filter cut one; token ids that would tell it are left out.
    """

    project: str
    response_id: str
    conversation_id: str
    created_at: float
    messages: tuple[Message, ...]
    answers: tuple[Answer, ...]
    adapter: str = "base"
    user_key: str | None = None
    model: str = ""
    base_model_hash: str = ""
    tokenizer_hash: str = ""
    template_hash: str = ""
    sampling: SamplingParameters = SamplingParameters()
    prompt_token_ids: tuple[int, ...] = ()
    experiment: str | None = None
    arm: str | None = None
    propensity: float | None = None
    phase: int | None = None
    latency_seconds: float = 0.0
    first_token_seconds: float | None = None
    source: str = "gateway"
    schema_version: int = 1
    duel: DuelSide | None = None
    honeypot: HoneypotShown | None = None
    redacted: bool = False
    why: str = ""

    @property
    def prompt(self) -> str:
        """The last user message: what the answers answer."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")
