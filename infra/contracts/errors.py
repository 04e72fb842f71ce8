"""One root error. A room's own errors subclass it beside the code that raises them."""


class PlauditError(Exception):
    """An expected failure that a person can act on.

    `code` is a stable snake_case word for machines and metrics, `message` says what was wrong, where, and what to do,
    `status` is the HTTP status a front end answers with. `field` names the offending input, if there is one.
    """

    code: str = "internal_error"
    status: int = 500

    def __init__(
        self, message: str, *, code: str | None = None, status: int | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status

    def __str__(self) -> str:
        return self.message
