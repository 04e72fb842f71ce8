"""`plaudit export`: labels and pairs for others to train on."""

from pathlib import Path
from typing import Annotated

import typer

from plaudit.commands.common import group, opened

app = group("Labels and pairs as files, with a manifest. Erased people are not in them.")

Out = Annotated[Path, typer.Option(help="A new or empty folder.")]
Form = Annotated[str, typer.Option("--format", help="parquet, or trl-jsonl.")]
AsOf = Annotated[str | None, typer.Option(help="ISO 8601 instant with a zone; without: now.")]


@app.command()
def labels(
    out: Out,
    form: Form = "parquet",
    as_of: AsOf = None,
    objective: Annotated[str, typer.Option(help="trl-jsonl: the objective that becomes `label`.")] = "love",
) -> None:
    """Every answer's label. trl-jsonl: unpaired preferences (prompt, completion, label), for TRL's KTO trainer."""
    _export("labels", form, out, as_of, objective)


@app.command()
def pairs(out: Out, form: Form = "parquet", as_of: AsOf = None) -> None:
    """Every standing pair. trl-jsonl: preferences (prompt, chosen, rejected), for TRL's DPO and reward trainers."""
    _export("pairs", form, out, as_of, "love")


def _export(kind: str, form: str, out: Path, as_of: str | None, objective: str) -> None:
    from ingest.access.audit import operator
    from ingest.export.service import asked, export

    checked_kind, checked_form, instant = asked(kind, form, as_of)
    with opened("export") as context:
        manifest = export(
            context, checked_kind, checked_form, out, actor=operator(), as_of=instant, objective=objective
        )
    print(f"{manifest['rows']} rows in {out / manifest['file']}; {manifest['without_answer_or_value']} left out")
