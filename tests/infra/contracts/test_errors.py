import pytest

from infra.contracts import PlauditError


class Conflict(PlauditError):
    code = "conflict"
    status = 409


def test_a_subclass_carries_code_and_status() -> None:
    error = Conflict("twice", field="event_id")
    assert (error.code, error.status, error.field, error.message, str(error)) == (
        "conflict",
        409,
        "event_id",
        "twice",
        "twice",
    )


def test_one_error_may_differ_from_its_class() -> None:
    assert Conflict("twice", code="other", status=400).code == "other"
    assert (Conflict.code, Conflict.status) == ("conflict", 409)


def test_the_default_is_internal() -> None:
    with pytest.raises(PlauditError) as raised:
        raise PlauditError("broken")
    assert (raised.value.code, raised.value.status, raised.value.field) == ("internal_error", 500, None)
