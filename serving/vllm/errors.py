"""What may go wrong between the gateway and a server."""

from infra.contracts import PlauditError
from serving.engine_errors import EngineFailed


class ReplicaFailed(EngineFailed):
    """The server could not be reached, broke off, or answered that it cannot now: another one may."""


class Unreachable(ReplicaFailed):
    """Nothing was heard from the server, or nothing more."""


class NameUnknown(EngineFailed):
    """The server does not know the adapter: it has lost it, as by a restart."""


class SamplingUnsupported(PlauditError):
    """The servers cannot say with which probability they draw so."""

    code = "unsupported_parameter"
    status = 400
