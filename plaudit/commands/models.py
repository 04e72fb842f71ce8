"""`plaudit models`: the base model on disk."""

from plaudit.commands.common import console, group, settings

app = group("The base model: fetch it, convert it, check it.")


@app.command()
def fetch() -> None:
    """Make the base model ready: verify its checksum, convert it once, keep it in the cache."""
    from rich.progress import Progress

    from infra.models.fetch import fetch_base

    current = settings()
    with Progress(console=console(), transient=True) as bar:
        task = bar.add_task("base model", total=1.0)
        folder = fetch_base(current, lambda done, text: bar.update(task, completed=done, description=text))
    print(folder)
