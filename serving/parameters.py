"""Parameters of a request, each taken out of its body once: what is left is unknown, and refused by name."""

from collections.abc import Mapping
from typing import Any

import msgspec

from infra.contracts import PlauditError, SamplingParameters
from infra.settings.serving import ServingSettings
from ingest.access.nesting import check_nesting
from ingest.rules import id_problem
from ingest.unreadable import UNREADABLE

MAX_ID_CHARACTERS = 128
MAX_USER_CHARACTERS = 512
LENGTHS = ("max_tokens", "max_completion_tokens")
"""Parameters that name the longest answer; OpenAI renamed the one to the other in 2024."""


class BadRequest(PlauditError):
    """A request that cannot be answered as it stands."""

    code = "invalid_value"
    status = 400


class Parameters:
    """What the body holds; each parameter is taken out once, so what is left is unknown."""

    def __init__(self, values: dict[str, Any], neutral: Mapping[str, tuple[Any, ...]] | None = None) -> None:
        """`neutral`: parameters that are not supported, with the values that ask for nothing."""
        self._values = values
        self._neutral = neutral or {}

    def take(self, name: str) -> Any:
        """The value, or None; it is gone from what is left."""
        return self._values.pop(name, None)

    def holds(self, *names: str) -> bool:
        """Whether one of them is given and not taken yet."""
        return any(name in self._values for name in names)

    def flag(self, name: str) -> bool:
        """A switch, off by default. Raises BadRequest."""
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise BadRequest(f"{name} must be true or false, not {shown(value)}", field=name)
        return bool(value)

    def text(self, name: str, default: str | None, longest: int) -> str | None:
        """A text of at most `longest` characters. Raises BadRequest."""
        value = self.take(name)
        if value is None:
            return default
        return checked_text(value, name, longest)

    def number(self, name: str, default: float, least: float, most: float, *, whole: bool = False) -> float:
        """A number from `least` to `most`. Raises BadRequest."""
        value = whole_number(self.take(name)) if whole else self.take(name)
        if value is None:
            return default
        right_type = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not right_type or not least <= value <= most:
            kind = "a whole number" if whole else "a number"
            raise BadRequest(f"{name} must be {kind} from {least:g} to {most:g}, not {shown(value)}", field=name)
        return value  # type: ignore[no-any-return]

    def refuse_the_rest(self) -> None:
        """Raise BadRequest for whatever was not taken and asks for anything."""
        for name, value in self._values.items():
            if name not in self._neutral:
                raise BadRequest(
                    f"{name[:80]!r} is no parameter of this API: remove it", code="unknown_parameter", field=name[:80]
                )
            if not any(_same(value, one) for one in self._neutral[name]):
                raise BadRequest(
                    f"{name} = {shown(value)} is not supported here: leave {name} out",
                    code="unsupported_parameter",
                    field=name,
                )


def _same(value: Any, neutral: Any) -> bool:
    """Whether they are one in JSON, where false is no 0."""
    return bool(value == neutral) and isinstance(value, bool) == isinstance(neutral, bool)


def document_of(body: bytes, needed: str) -> dict[str, Any]:
    """The parameters in a JSON body that are not null. Raises BadRequest, TooDeeplyNested."""
    check_nesting(body)
    try:
        document = _decode(body)
    except UNREADABLE as error:
        raise BadRequest(f"the body is no valid JSON ({error})", code="invalid_json") from None
    if not isinstance(document, dict):
        raise BadRequest(f"the body must be a JSON object with {needed}", code="invalid_json")
    return {name: value for name, value in document.items() if value is not None}


_decode = msgspec.json.Decoder().decode


def sampling(given: Parameters, settings: ServingSettings) -> SamplingParameters:
    """How tokens are to be drawn, defaults included. Raises BadRequest."""
    old, new = given.take("max_tokens"), given.take("max_completion_tokens")
    if old is not None and new is not None and old != new:
        raise BadRequest("max_tokens and max_completion_tokens differ: give one of them", field="max_tokens")
    name = "max_tokens" if old is not None else "max_completion_tokens"
    limit = Parameters({} if old is None and new is None else {name: old if old is not None else new})
    most = settings.max_tokens_limit
    seed = whole_number(given.take("seed"))
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or not -(2**63) <= seed < 2**63):
        raise BadRequest(f"seed must be a whole number of 64 bits, not {shown(seed)}", field="seed")
    return SamplingParameters(
        temperature=given.number("temperature", settings.temperature_default, 0, 2),
        top_p=max(given.number("top_p", 1, 0, 1), 1e-6),  # 0 is legal there and means: the likeliest token
        top_k=int(given.number("top_k", 0, 0, 1 << 20, whole=True)),
        max_tokens=int(limit.number(name, min(settings.max_tokens_default, most), 1, most, whole=True)),
        seed=seed,
        stop=_stop(given.take("stop")),
    )


def _stop(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if texts is None:
        return ()
    if not isinstance(texts, list) or len(texts) > 4 or not all(isinstance(t, str) and t for t in texts):
        raise BadRequest(
            f"stop must be a text or a list of at most 4 non-empty texts, not {shown(value)}", field="stop"
        )
    return tuple(checked_text(text, "stop", MAX_ID_CHARACTERS) for text in texts)


def include_usage(given: Parameters, stream: bool) -> bool:
    """Whether a stream shall end with its usage. Raises BadRequest, also where there is no stream to end so."""
    value = given.take("stream_options")
    if value is None:
        return False
    if not isinstance(value, dict) or set(value) - {"include_usage", "include_obfuscation"}:
        raise BadRequest('stream_options must be {"include_usage": true or false}', field="stream_options")
    options = Parameters(dict(value))
    wanted = options.flag("include_usage")
    if wanted and not stream:
        raise BadRequest(
            "stream_options.include_usage is for streams; a plain answer always tells its usage: set stream = true, or "
            "leave it out",
            field="stream_options",
        )
    if options.flag("include_obfuscation"):
        raise BadRequest(
            "stream_options.include_obfuscation = true is not supported here: leave it out",
            code="unsupported_parameter",
            field="stream_options",
        )
    return wanted


def user_of(given: Parameters) -> str | None:
    """The caller's own id of the person who asks. Raises BadRequest."""
    user = given.text("user", None, MAX_USER_CHARACTERS)
    # OpenAI renamed `user` in 2025; clients send the one or the other.
    renamed = given.text("safety_identifier", None, MAX_USER_CHARACTERS)
    return user or renamed or None


def metadata_of(metadata: Any) -> dict[str, Any]:
    """The fields of the request that its metadata fill: all of its texts, and the conversation among them."""
    if metadata is None:
        return {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BadRequest("metadata must be an object of texts", field="metadata")
    value = metadata.get("conversation_id")
    if value is not None:
        where = "metadata.conversation_id"
        problem = id_problem(where, value)  # the ledger's own rule: what it would refuse must not get onto the log
        if problem is not None:
            raise BadRequest(problem.message, field=where)
    return {"conversation_id": value, "metadata": metadata}


def checked_text(value: Any, name: str, longest: int) -> str:
    """A text of at most `longest` characters. Raises BadRequest."""
    if not isinstance(value, str) or len(value) > longest:
        raise BadRequest(f"{name} must be a text of at most {longest} characters, not {shown(value)}", field=name)
    return value


def whole_number(value: Any) -> Any:
    """JSON knows no difference between 3 and 3.0; whatever is no number stays as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def shown(value: Any) -> str:
    """A value as it is repeated to its sender."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
