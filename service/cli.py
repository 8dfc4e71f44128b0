"""The console script: ``margincert serve | certify | kkt | report | check | flow | ...``.

Exit codes: 0 answered (whatever the verdict), 1 error (check: not valid), 2 wrong usage. Heavy
modules are imported by the commands that need them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from service import __version__

if TYPE_CHECKING:
    from service.work import Question

app = typer.Typer(
    name="margincert",
    help="Certify the optimality of maximum-margin points of homogeneous neural networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

File = Annotated[str, typer.Argument(metavar="FILE", help="A request as JSON; - reads stdin.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")]


def main() -> None:
    """The entry point of the console script."""
    app()


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"margincert {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0: a free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Directory of the stored answers.")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve other machines without API keys.")
    ] = False,
) -> None:
    """Start the HTTP service in the foreground; settings come from MARGINCERT_* too."""
    from pydantic import ValidationError

    from service.server import UnsafeAddressError, serve
    from service.settings import Settings, environment_name

    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "data_dir": data_dir and data_dir.absolute(),
    }
    try:
        settings = Settings(**{key: value for key, value in given.items() if value is not None})
        serve(settings, insecure=insecure)
    except ValidationError as error:
        wrong = [f"{environment_name(str(e['loc'][0]))}: {e['msg']}" for e in error.errors()]
        _fail("\n".join(wrong))
    except UnsafeAddressError as error:
        _fail(str(error))


@app.command()
def certify(file: File, as_json: AsJson = False) -> None:
    """Certify the point in FILE on this machine, without a server."""
    _solve("certify", file, as_json)


@app.command()
def kkt(file: File, as_json: AsJson = False) -> None:
    """Answer only the KKT question about the point in FILE."""
    _solve("kkt", file, as_json)


@app.command()
def report(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="An answer (certify --json); - reads stdin.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write; default: FILE.html.")
    ] = None,
) -> None:
    """Write the page of an answer: one self-contained HTML file."""
    from service.problems import Problem
    from service.report.file import page_of

    try:
        page = page_of(_read(file))
    except Problem as problem:
        _fail(problem.detail)
    target = out or Path("report.html" if file == "-" else file).with_suffix(".html")
    try:
        target.write_bytes(page)
    except OSError as error:
        _fail(f"{target}: {error.strerror}")
    typer.echo(target)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A certificate, or an answer.")],
    statement: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What was asked about, as JSON.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a certificate in exact arithmetic; exit code 1 where it is not valid."""
    from solvers.checker.command import main as checker

    asked = [] if statement is None else ["--statement", str(statement)]
    raise typer.Exit(checker([str(file), *asked, *(["--json"] if as_json else [])]))


@app.command()
def flow(file: File, as_json: AsJson = False) -> None:
    """Follow gradient flow from the start in FILE and certify its limit."""
    _solve("flow", file, as_json)


@app.command()
def tables(
    instances: Annotated[int, typer.Option(min=1, help="Random instances a positive cell.")] = 25,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random instances.")] = 0,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; default: all cores.")] = None,
    as_json: AsJson = False,
) -> None:
    """Reproduce Tables 1 and 2 of the paper, cell by cell, as Markdown or JSON."""
    from service.tables import outcomes
    from solvers.tables import as_json as json_of
    from solvers.tables import as_markdown

    found = outcomes(instances, seed, jobs)
    if as_json:
        _print_json(json_of(found, instances=instances, seed=seed))
    else:
        typer.echo(as_markdown(found, instances=instances, seed=seed))
    if not all(outcome.as_the_paper_says for outcome in found):
        raise typer.Exit(1)


@app.command()
def examples(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One example.")] = None,
) -> None:
    """List the paper's constructions, or print the request of one, ready for certify."""
    from solvers.examples import EXAMPLES

    if name is None:
        width = max(map(len, EXAMPLES))
        for example in EXAMPLES.values():
            typer.echo(f"{example.name:<{width}}  {example.title}")
    elif name in EXAMPLES:
        _print_json(EXAMPLES[name].request)
    else:
        _fail(f"no example is named {name!r}; 'margincert examples' lists them")


def _solve(question: Question, file: str, as_json: bool) -> None:
    from service import local, summary
    from service.problems import Problem
    from solvers.errors import InputError

    try:
        body = local.solve_file(question, _read(file))
    except Problem as problem:
        lines = [f"{error.pointer or '/'}: {error.message}" for error in problem.errors]
        _fail("\n".join(lines or [problem.detail]))
    except InputError as error:
        _fail("\n".join(f"{wrong.pointer or '/'}: {wrong.message}" for wrong in error.errors))
    except MemoryError:
        _fail("the memory of this machine does not suffice")
    if as_json:
        _print_json(body)
    else:
        summary.show(body)


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        _fail(f"{file}: {error.strerror}")


def _print_json(document: Mapping[str, Any]) -> None:
    import orjson

    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
