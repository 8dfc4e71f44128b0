"""The console script: serve, worker, migrate, batch, certify, kkt, import, check, report, ...

Exit codes: 0 answered (whatever the verdict), 1 error (check: not valid), 2 wrong usage; of batch
also 3, some answers are inconclusive. Heavy modules are imported by the commands that need them.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from service import __version__

if TYPE_CHECKING:
    from service.batch_sources import Source
    from service.settings import Settings
    from service.work import Question

app = typer.Typer(
    name="margincert",
    help="Certify the optimality of maximum-margin points of homogeneous neural networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

File = Annotated[str, typer.Argument(metavar="FILE", help="A request as JSON; - reads stdin.")]
DataDir = Annotated[Path | None, typer.Option(help="Directory of the stored answers.")]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(help="sqlite:///FILE or postgresql://...; default: a file in the data directory."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")]


class Activation(StrEnum):
    """What stands between the layers of a state_dict."""

    relu = "relu"
    linear = "linear"


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
    data_dir: DataDir = None,
    database: DatabaseUrl = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve other machines without API keys.")
    ] = False,
) -> None:
    """Start the HTTP service in the foreground; settings come from MARGINCERT_* too."""
    from service.server import UnsafeAddressError, serve
    from service.storage.database import SchemaError

    settings = _settings(host=host, port=port, data_dir=data_dir, database=database)
    try:
        serve(settings, insecure=insecure)
    except (UnsafeAddressError, SchemaError) as error:
        _fail(str(error))


@app.command()
def worker(
    database: DatabaseUrl = None,
    data_dir: DataDir = None,
    slots: Annotated[int | None, typer.Option(min=1, help="Jobs at a time.")] = None,
) -> None:
    """Run the jobs of a database, on this machine, in the foreground."""
    from service.storage.database import SchemaError
    from service.worker_process import work

    try:
        work(_settings(database=database, data_dir=data_dir, job_workers=slots))
    except SchemaError as error:
        _fail(str(error))


@app.command()
def migrate(database: DatabaseUrl = None, data_dir: DataDir = None) -> None:
    """Bring the tables of a database up to date."""
    from service.storage.database import Database

    found = Database(_settings(database=database, data_dir=data_dir).database_url())
    found.migrate()
    typer.echo(f"at revision {found.revision()}")
    found.close()


@app.command()
def batch(
    requests: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="NDJSON.")],
    out: Annotated[Path, typer.Option(help="Where the answers go, NDJSON; a .csv beside it.")],
    url: Annotated[str | None, typer.Option(help="A service.")] = None,
    local: Annotated[int | None, typer.Option(min=1, help="Processes of this machine.")] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Ctrl-C stops the batch, not only the waiting.")
    ] = False,
) -> None:
    """Certify every line of REQUESTS; the same command again goes on after any stop.

    Exit codes: 0 all decided, 3 some inconclusive, 1 errors. A key for the service is read from
    MARGINCERT_API_KEY.
    """
    import httpx2

    from service import logs
    from service.batch_run import BatchError, collect
    from service.client import ServiceError

    if (url is None) == (local is None):
        raise typer.BadParameter("give one of --url and --local")
    logs.configure(logging.WARNING)
    place = url or "local"
    try:
        code = collect(lambda: _source(url, local, out), place, requests, out, cancel=cancel)
    except (ServiceError, BatchError, httpx2.TransportError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    raise typer.Exit(code)


def _source(url: str | None, local: int | None, out: Path) -> Source:
    from service.batch_sources import Local, Remote
    from service.client import Client

    if url is not None:
        return Remote(Client(url, key=os.environ.get("MARGINCERT_API_KEY")))
    assert local is not None
    return Local(out.absolute().with_name(out.name + ".work"), local)


def _settings(**given: Any) -> Settings:
    """Settings from the options that were given and the environment."""
    from pydantic import ValidationError

    from service.settings import Settings, environment_name

    if given.get("data_dir") is not None:
        given["data_dir"] = given["data_dir"].absolute()
    try:
        return Settings(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = [f"{environment_name(str(e['loc'][0]))}: {e['msg']}" for e in error.errors()]
        _fail("\n".join(wrong))


@app.command()
def certify(file: File, as_json: AsJson = False) -> None:
    """Certify the point in FILE on this machine, without a server."""
    _solve("certify", file, as_json)


@app.command()
def kkt(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Requests as JSON.")],
    as_json: AsJson = False,
) -> None:
    """Answer only the KKT question about the point in FILE; of several files, as CSV."""
    if len(files) == 1:
        _solve("kkt", files[0], as_json)
        return
    from service.importing import residual_table

    bodies = [{**body, "name": body["name"] or f} for f in files for body in [_answer("kkt", f)]]
    _print_several(bodies, residual_table, as_json)


@app.command("import")
def import_(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL...", help=".pt, .pth, .safetensors (state_dicts) or .onnx."),
    ],
    data: Annotated[Path, typer.Option(metavar="FILE", help="A .npz file with x and y.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the request instead of solving it.")
    ] = None,
    activation: Annotated[
        Activation, typer.Option(help="Between the layers of a state_dict, which does not say.")
    ] = Activation.relu,
    time_limit: Annotated[float, typer.Option(min=0.001, help="Seconds for each model.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Read trained models and answer the KKT question about them; of several, as CSV."""
    from service.importing import Imported, residual_table

    if out is not None and len(models) > 1:
        _fail("--out takes one model")
    with _input_errors():
        if out is not None:
            _write_json(out, Imported.read(models[0], data, activation.value).request())
            return
        bodies = [Imported.read(m, data, activation.value).kkt(time_limit) for m in models]
    if len(bodies) == 1:
        _show(bodies[0], as_json)
    else:
        _print_several(bodies, residual_table, as_json)


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
    from service.tables import reproduced

    answer = reproduced(instances, seed, jobs).to_dict()
    if as_json:
        _print_json(answer)
    else:
        typer.echo(answer["markdown"])
    if not answer["as_the_paper_says"]:
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
    _show(_answer(question, file), as_json)


def _answer(question: Question, file: str) -> dict[str, Any]:
    from service import local
    from service.problems import Problem

    with _input_errors():
        try:
            return local.solve_file(question, _read(file))
        except Problem as problem:
            lines = [f"{error.pointer or '/'}: {error.message}" for error in problem.errors]
            _fail("\n".join(lines or [problem.detail]))


@contextmanager
def _input_errors() -> Iterator[None]:
    """Say what is wrong with the input, without a traceback."""
    from solvers.errors import InputError, MissingExtraError

    try:
        yield
    except InputError as error:
        _fail("\n".join(f"{wrong.pointer or '/'}: {wrong.message}" for wrong in error.errors))
    except MissingExtraError as error:
        _fail(str(error))
    except MemoryError:
        _fail("the memory of this machine does not suffice")


def _show(body: dict[str, Any], as_json: bool) -> None:
    from service import summary

    if as_json:
        _print_json(body)
    else:
        summary.show(body)


def _print_several(
    bodies: list[dict[str, Any]],
    table: Callable[[list[dict[str, Any]]], str],
    as_json: bool,
) -> None:
    if as_json:
        _print_json(bodies)
    else:
        typer.echo(table(bodies), nl=False)


def _write_json(file: Path, document: Mapping[str, Any]) -> None:
    import orjson

    try:
        file.write_bytes(orjson.dumps(document))
    except OSError as error:
        _fail(f"{file}: {error.strerror}")


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        _fail(f"{file}: {error.strerror}")


def _print_json(document: Mapping[str, Any] | list[dict[str, Any]]) -> None:
    import orjson

    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
