"""What the documentation reads from the sources: the HTTP interface and the methods."""

import inspect
import json
from pathlib import Path

from solvers.layerwise import layer_findings
from solvers.optimality.global_bounds import GLOBAL_BOUNDS
from solvers.pipeline import GLOBAL_SEARCHES, LOCAL_TESTS
from solvers.stationarity import kkt_finding

DOCUMENT = Path(__file__).resolve().parent.parent / "openapi" / "openapi.json"
GROUPS = {
    "KKT": (kkt_finding,),
    "Local": LOCAL_TESTS,
    "Global bounds": GLOBAL_BOUNDS,
    "Global searches": GLOBAL_SEARCHES,
    "One layer": (layer_findings,),
}


def http_interface():
    """Every call with its statuses, then every model with its fields."""
    document = json.loads(DOCUMENT.read_text())
    parts = ["## Calls"]
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            parts.append(_call(verb, path, operation))
    parts.append("## Models")
    for name, schema in document["components"]["schemas"].items():
        parts.append(f"### {name}\n\n{_plain(schema.get('description', ''))}")
        parts.append(_fields(schema))
    return "\n\n".join(filter(None, parts)) + "\n"


def methods():
    """The docstrings of every method that makes a verdict, in the order in which they are tried."""
    parts = []
    for title, functions in GROUPS.items():
        parts.append(f"## {title}")
        for function in functions:
            module = f"{function.__module__}.{function.__name__}"
            parts.append(f"### {function.__name__}\n\n`{module}`")
            parts.append(f"```text\n{inspect.getdoc(function)}\n```")
    return "\n\n".join(parts) + "\n"


def _call(verb, path, operation):
    rows = [
        f"| {status} | {_cell(answer.get('description', ''))} |"
        for status, answer in sorted(operation["responses"].items())
    ]
    summary = operation.get("summary", "")
    stop = "" if summary.endswith("?") else "."
    title = f"### {verb.upper()} {_plain(path)}\n\n{summary}{stop}"
    table = "\n".join(["| status | meaning |", "|---|---|", *rows])
    return f"{title} {_plain(operation.get('description', ''))}\n\n{table}"


def _fields(schema):
    properties = schema.get("properties")
    if not properties:
        return ""
    required = schema.get("required", ())
    rows = [
        f"| `{name}`{' *' if name in required else ''} | {_cell(_kind(field))} "
        f"| {_cell(field.get('description', ''))} |"
        for name, field in properties.items()
    ]
    return "\n".join(["| field (* required) | type | meaning |", "|---|---|---|", *rows])


def _kind(schema):
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "enum" in schema:
        return " or ".join(map(json.dumps, schema["enum"]))
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(map(_kind, choices)))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _plain(text):
    """Text in which braces, brackets and stars mean themselves."""
    for sign in "\\{}[]*<>_":
        text = text.replace(sign, f"\\{sign}")
    return text


def _cell(text):
    return _plain(text).replace("|", "\\|").replace("\n", " ")
