"""Errors of `infra.models`: each names what was wrong and what mends it."""

from infra.contracts import PlauditError


class BaseModelUnavailable(PlauditError):
    """The base model cannot be found, or is not what it should be."""

    code = "base_model_unavailable"
    status = 503


class UnsupportedModel(PlauditError):
    """A model whose architecture or template the product cannot work with."""

    code = "unsupported_model"
    status = 400


class PromptTooLong(PlauditError):
    """Prompt and answer do not fit into the model's context."""

    code = "context_length_exceeded"
    status = 400


class AdapterRefused(PlauditError):
    """An adapter that must not be served: missing, corrupt, of another base, or not what was trained.

    `code` is one of adapter_missing, adapter_corrupt, adapter_wrong_base, adapter_wrong_rank, adapter_unsupported,
    adapter_zero, adapter_mismatch, adapter_renamed.
    """

    code = "adapter_refused"
    status = 409
