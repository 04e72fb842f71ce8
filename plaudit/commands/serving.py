"""`plaudit serving`: what each replica says of the adapters it serves."""

from typing import TYPE_CHECKING

from plaudit.commands.common import console, group, opened

if TYPE_CHECKING:
    from rich.table import Table

    from serving.repository import ProofRow

app = group("The gateway's replicas and their proofs.")
_COLOURS = {"proven": "green", "indistinguishable": "yellow", "refused": "red", "failing": "red", "unloaded": "dim"}


@app.callback()
def room() -> None:
    """The gateway's replicas and their proofs."""


@app.command()
def status() -> None:
    """Every adapter on every replica: its status, how clearly it was proven, when, and why not."""
    from serving.repository import ServingRepository

    with opened("serving") as context:
        with context.database.reading() as connection:
            repository = ServingRepository(connection, context.settings.project)
            champion, last_proven = repository.champion()
            rows = repository.standing_proofs()
        console().print(f"champion {champion}, before it {last_proven}")
        if not rows:
            console().print("no replica has tried to prove anything yet: start `plaudit serve`")
            return
        console().print(_table(rows, {last_proven: "before", champion: "champion"}, context.clock.now()))


def _table(rows: "list[ProofRow]", roles: dict[str, str], now: float) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table("adapter", "", "replica", "status", "distance", "margin", "age", "reason", box=None, pad_edge=False)
    for row in rows:
        colour = _COLOURS.get(row.status, "")
        table.add_row(
            row.adapter,
            roles.get(row.adapter, ""),
            escape(row.replica),
            f"[{colour}]{row.status}[/{colour}]" if colour else row.status,
            _number(row.detail.get("distance"), "{:.4f} nats"),
            _number(row.detail.get("margin"), "{:.0f} x noise"),
            _age(now - row.proved_at),
            "" if row.status == "proven" else escape(str(row.detail.get("reason", ""))),
        )
    return table


def _number(value: object, form: str) -> str:
    return form.format(value) if isinstance(value, int | float) else "-"


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
