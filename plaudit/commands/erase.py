"""`plaudit erase`: a person out of store, log, caches and exports, with a receipt."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from plaudit.commands.common import opened

User = Annotated[str | None, typer.Option(help="The person's id as your application sends it.")]
UserKey = Annotated[str | None, typer.Option(help="The person's key (32 hex digits), where the id is not known.")]


def erase(
    user: User = None,
    user_key: UserKey = None,
    receipt: Annotated[Path | None, typer.Option(help="Write the receipt to this file as well.")] = None,
    verify: Annotated[
        Path | None, typer.Option(help="Erase nobody: say whether this receipt was signed by this deployment.")
    ] = None,
) -> None:
    """Erase a person: rows, log records, cached features and export rows go; tombstones keep them from coming back;
    what learned from them is marked and trained anew. Prints a signed receipt, which names nobody. Exit 1 when some
    file could not be cleaned yet: the job `retention` goes on."""
    if verify is not None:
        _verify(verify)
        return
    from ingest.access.audit import operator
    from ingest.erasure.service import erase as erase_person

    with opened("erase") as context:
        document = erase_person(context, user=user, user_key=user_key, actor=operator())
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if receipt is not None:
        receipt.write_text(text + "\n", encoding="utf-8")
    print(text)
    if document["files_not_clean"]:
        sys.exit(1)


def _verify(path: Path) -> None:
    from infra.settings import user_secrets
    from ingest.erasure.receipts import read_receipt
    from plaudit.commands.common import settings

    document = read_receipt(path, user_secrets(settings()))
    print(f"erasure {document['erasure_id']}: signed by this deployment, unchanged")
