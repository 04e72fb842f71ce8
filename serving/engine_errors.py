"""What an engine refuses with, whichever it is."""

from infra.contracts import PlauditError


class EngineBusy(PlauditError):
    """More answers wait than the engine may queue."""

    code = "rate_limit_exceeded"
    status = 429


class EngineFailed(PlauditError):
    """The engine could not compute an answer, or is closed."""

    code = "engine_failed"
    status = 503


class AdapterNotLoaded(PlauditError):
    """No such adapter on this replica."""

    code = "model_not_found"
    status = 404


class AnswerTooLarge(PlauditError):
    """Prompt and longest answer together need more memory than the engine has for one."""

    code = "kv_memory_exceeded"
    status = 400
