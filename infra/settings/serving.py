"""Settings of the room `serving`."""

from pydantic import Field

from infra.settings.base import Section
from infra.settings.breakers import BreakerSettings
from infra.settings.engines import EngineSettings
from infra.settings.serving_parts import DuelSettings, LimitSettings


class ServingSettings(Section):
    """The gateway: its address, its engine, its adapters."""

    host: str = "127.0.0.1"
    """Address to listen on. With `0.0.0.0` set `access.require_keys`, or stand behind a proxy that authenticates."""
    port: int = Field(8080, ge=0, le=65535)
    """Port to listen on; 0: any free one."""
    keep_alive_seconds: int = Field(75, ge=1)
    """How long a connection on which nothing is asked stays open, in seconds. Let it be longer than proxies and pools
    in front keep one, mostly 60 seconds or less: what is sent just as the connection is being closed here fails."""
    replica: str = Field("", max_length=64)
    """Name of this replica in the proofs of adapters; empty: the host's name."""
    max_batch_rows: int = Field(32, ge=1, le=512)
    """Answers computed together at most."""
    kv_memory_mib: int = Field(1024, ge=1)
    """Keys and values that the local engine may hold, of running answers and of conversations that may go on. An answer
    takes the room of its prompt and its longest possible length; one that does not fit waits."""
    prefill_tokens: int = Field(256, ge=1)
    """Tokens of prompts the local engine computes in one step at most: more serve prompts faster, and let answers that
    are being written wait longer for their next token."""
    max_queue_rows: int = Field(256, ge=1)
    """Answers waiting for the engine at most; above it requests are refused with 429."""
    max_tokens_default: int = Field(256, ge=1)
    """Length limit of an answer when the request names none."""
    max_tokens_limit: int = Field(1024, ge=1)
    """Largest `max_tokens` a request may ask for."""
    max_choices: int = Field(8, ge=1, le=64)
    """Largest `n` a request may ask for."""
    max_body_bytes: int = Field(1 << 20, ge=1024)
    """Largest body of a request."""
    head_timeout_seconds: float = Field(20.0, gt=0)
    """A connection on which for longer no request has begun, or whose request's head has not come, is closed."""
    request_timeout_seconds: float = Field(120.0, gt=0)
    """A plain answer that takes longer is given up with 504; so is a stream in which nothing comes for as long."""
    stream_timeout_seconds: float = Field(600.0, gt=0)
    """A streamed answer that is not complete by then ends with an error."""
    max_top_logprobs: int = Field(20, ge=0, le=20)
    """Largest `top_logprobs` a request may ask for."""
    render_cache_characters: int = Field(1_000_000, ge=0)
    """Characters of messages whose tokens are remembered, about 10 bytes of memory each: a conversation's earlier turns
    are tokenized once."""
    temperature_default: float = Field(1.0, ge=0, le=2)
    """Temperature when the request names none. Learning needs answers that vary: keep it above 0."""
    reconcile_every_seconds: float = Field(1.0, gt=0)
    """How often adapters are loaded, proven and let go of as the store wants them."""
    refresh_every_seconds: float = Field(0.2, gt=0)
    """How often the store is asked who is champion and which experiments run: a rollback is served within this time."""
    state_stale_seconds: float = Field(30.0, gt=0)
    """With the store unreachable for longer, no one enters an experiment; the proven champion goes on answering."""
    proof_retry_seconds: float = Field(60.0, gt=0)
    """How long after a refusal an adapter is tried again: its files may have been restored."""
    pinned_adapters: tuple[str, ...] = ()
    """`name@version` adapters kept loaded beside champion, its predecessor and the challenger."""
    conversations_remembered: int = Field(20_000, ge=0)
    """Conversations whose first adapter this replica remembers; others are looked up in the store."""
    serve_unlogged: bool = False
    """Answer also when the log, and the spool before it, take nothing more: such answers teach nothing and are counted
    in `plaudit_serving_unlogged_total`. Off: 503."""
    redact: tuple[str, ...] = ()
    """Personal data taken out of what is stored, not out of what is answered: `email`, `phone`, `card`, `iban`, or
    `module:function` (text -> text)."""
    filters: tuple[str, ...] = ()
    """What may cut an answer short: `words`, or `module:factory` (settings -> `serving.filters.OutputFilter`)."""
    filter_words: tuple[str, ...] = ()
    """Words and phrases at which the filter `words` cuts an answer, whatever their case."""
    drain_seconds: float = Field(3.0, ge=0)
    """After SIGTERM requests are still taken for so long while `/readyz` says no, until load balancers have seen it."""
    drain_grace_seconds: float = Field(25.0, ge=0)
    """How long answers in progress may take to finish after that."""
    duels: DuelSettings = DuelSettings()
    """Pairs of answers shown side by side for a vote."""
    limits: LimitSettings = LimitSettings()
    """How much one caller, and all together, may ask for."""
    breakers: BreakerSettings = BreakerSettings()
    """When an arm is given up at once."""
    engine: EngineSettings = EngineSettings()
    """What computes the answers: this process, or vLLM servers."""
