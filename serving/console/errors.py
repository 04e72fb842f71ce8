"""What the console refuses, for people."""

from infra.contracts import PlauditError


class SignInNeeded(PlauditError):
    """Nobody is signed in, or the session is over."""

    code = "sign_in_needed"
    status = 401


class WrongPassword(PlauditError):
    """Neither a live key with a fitting scope nor the local password."""

    code = "wrong_password"
    status = 401


class ViewersCannotAct(PlauditError):
    """The signed-in role may look and nothing else."""

    code = "viewers_cannot_act"
    status = 403


class ForgedRequest(PlauditError):
    """The request did not come from a page of this session."""

    code = "forged_request"
    status = 403


class NothingHere(PlauditError):
    """No such page or row."""

    code = "not_found"
    status = 404


class ReasonNeeded(PlauditError):
    """An act without a reason."""

    code = "reason_needed"
    status = 422
