"""The command ``radon-gallery``: list the pages, copy one, and tell what is installed."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import click

from radon_gallery import _doctor, _pages

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="radon-gallery")
def main() -> None:
    """Take pages of the Radon Gallery away, and see whether they will run."""


@main.command("list")
def list_pages() -> None:
    """List the pages, each with what it promises."""
    for page in _pages.find_pages():
        click.echo(click.style(page.name, bold=True))
        click.echo(click.wrap_text(page.description, 78, "    ", "    "))


@main.command("copy")
@click.argument("page")
@click.argument("dest", type=click.Path(path_type=Path), default=".")
@click.option(
    "--format",
    "to",
    type=click.Choice(_pages.FORMATS),
    help="Notebook, script or Markdown.  [default: as DEST ends, or else ipynb]",
)
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
def copy_page(page: str, dest: Path, to: str | None, force: bool) -> None:
    """Copy PAGE to DEST, a folder or a file.

    PAGE is a name or number from `radon-gallery list`. A notebook has no outputs yet: run it.
    """
    source = _find(page)
    to = to or _format_of(dest)
    target = dest / f"{source.name}.{to}" if dest.is_dir() else dest
    if target.suffix != f".{to}" or not target.parent.is_dir():
        raise click.ClickException(
            f"{dest} is neither a folder that exists nor the name of a .{to} file in one."
        )
    if target.exists() and not force:
        raise click.ClickException(f"{target} exists; --force overwrites it.")
    _write(target, _pages.convert_page(source.path, to))
    click.echo(target)


@main.command()
def doctor() -> None:
    """Tell whether an edition will run here, and what to do if not."""
    report, is_well = _doctor.examine()
    click.echo(report)
    raise SystemExit(0 if is_well else 1)


def _find(name: str) -> _pages.Page:
    """Return the page of a name, in full or in part, or of a number."""
    pages = _pages.find_pages()
    known: dict[str, _pages.Page] = {}
    for page in pages:
        number, _, words = page.name.partition("_")
        known |= dict.fromkeys([page.name, words, number, str(int(number))], page)
    wanted = Path(name).stem
    if wanted in known:
        return known[wanted]
    names = [each for each in known if not each.isdigit()]
    near = get_close_matches(wanted.lower(), names, n=1)
    hint = f"did you mean {known[near[0]].name}?" if near else "`radon-gallery list` names them."
    raise click.ClickException(f"there is no page {name!r}; {hint}")


def _format_of(dest: Path) -> str:
    ending = dest.suffix.removeprefix(".")
    return ending if ending in _pages.FORMATS and not dest.is_dir() else _pages.FORMATS[0]


def _write(target: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(target)
    except OSError as error:
        raise click.ClickException(f"{target} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
