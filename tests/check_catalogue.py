"""Every string that people see has a Chinese translation: those of templates, of parameter schemas and of errors."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

from babel import Locale
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import app.tables  # noqa: F401
from app import outages
from app.checkpoints.figures import words
from app.checkpoints.metric_names import METRICS
from app.datasets.collections import COLLECTIONS
from app.datasets.starters import STARTERS
from app.errors import DISK_IS_FULL, FILE_IS_DAMAGED, UNEXPECTED
from app.generations.inputs import WRONG_MEDIUM
from app.generations.restoring import DIFFERENCES
from app.jobs.registry import queues
from app.media import SAYS_NOTHING
from app.security import HOST_IS_MISSING, OTHER_SITE
from app.training_runs.planning import OTHER_MEDIUM
from app.users.service import WRONG
from app.web.forms import fields, network_fields
from app.web.responses import InternalError
from models.contract.registry import families

ROOT = Path(__file__).parent.parent
ERRORS = {
    "Unauthenticated",
    "Forbidden",
    "NotFound",
    "Conflict",
    "TooLarge",
    "UnsupportedMedia",
    "Invalid",
    "OutOfRange",
    "TooMany",
    "Unavailable",
    "StorageFull",
    "FetchError",
}
WHY = {"CheckpointError", "Unsuitable", "Diverged", "NotSaved", "TooLarge"}
BY_VALUE = {"queued", "running", "paused", "succeeded", "failed", "cancelled"}  # statuses, in templates
REASONS = {
    WRONG,
    DISK_IS_FULL,
    FILE_IS_DAMAGED,
    UNEXPECTED,
    *(queue.table.given_up for queue in queues().values()),
    *DIFFERENCES,
    OTHER_MEDIUM,
    OTHER_SITE,
    HOST_IS_MISSING,
    *WRONG_MEDIUM.values(),
    SAYS_NOTHING,
    InternalError.title,
    *(text for name, text in vars(outages).items() if name.isupper() and isinstance(text, str)),
    "No worker that is running has the model {} yet; this waits for one that does",
    "No worker has had the model {} for {} hours",
    "The model {} has been replaced since this was asked for",
    "The model {} is gone",
    "The disk of the studio is full; ask an admin to make room, then try again.",
    "There was not enough memory for this, not even for one work at a time; try a smaller one.",
    "A picture that this was to be made from is no longer there.",
    "The model failed while it drew this. The log has the details under this job's id.",
}


OF_FIELDS = {  # what pydantic says of fields of forms
    "Fill this in",
    "Input should be a valid integer",
    "Input should be a valid integer, unable to parse string as an integer",
    "Input should be a valid integer, got a number with a fractional part",
    "Input should be a valid number",
    "Input should be a valid number, unable to parse string as a number",
    "Input should be a finite number",
    "Input should be a valid string",
    "Input should be greater than or equal to {}",
    "Input should be greater than {}",
    "Input should be less than or equal to {}",
    "Input should be less than {}",
    "Input should be a multiple of {}",
    "Input should be {}",
    "String should have at least {} character",
    "String should have at least {} characters",
    "String should have at most {} characters",
    "List should have at most {} items after validation, not {}",
    "Extra inputs are not permitted",
    "Some of its characters are not allowed",
}


def template_strings() -> set[str]:
    found = extract_from_dir(ROOT / "templates", [("**.html", "jinja2")], options_map={"**.html": {"trimmed": "true"}})
    return {message if isinstance(message, str) else message[0] for _, _, message, _, _ in found}


def schema_strings() -> set[str]:
    """Of the fields of tasks and trainings, titles of tasks, of trainable families, of their presets and of starter
    collections, and what the artwork page calls parameters."""
    known = families().values()
    tasks = [task for family in known for task in family.tasks]
    trainings = [f.training for f in known if f.training]
    forms = [fields(form) for form in [*(task.params for task in tasks), *trainings]]
    forms += [network_fields(training) for training in trainings]
    named = {name.replace("_", " ").capitalize() for task in tasks for name in task.params.model_fields}
    titles = {
        title for f in known if f.training for title in (f.title, f.sheet, *(preset.title for preset in f.presets))
    }
    titles |= (
        {task.title for task in tasks}
        | {given.title for task in tasks for given in task.inputs}
        | named
        | {starter.title for starter in (*STARTERS.values(), *COLLECTIONS.values())}
    )
    return titles | {text for form in forms for f in form for text in (f.title, f.description) if text}


def shown_strings() -> set[str]:
    """Names of curves, and of every figure, direction and model in the zoo."""
    found = set(METRICS.values())
    for path in (ROOT / "models" / "zoo").glob("*/card.json"):
        card = json.loads(path.read_text("utf-8"))
        found |= {card["title"], *card.get("directions", []), *names_in(card.get("figures", {}))}
    return {name for name in found if not name.isdigit()}


def names_in(figures: dict[str, Any]) -> set[str]:
    inner = [names_in(value) for value in figures.values() if isinstance(value, dict)]
    return {words(name) for name in figures}.union(*inner)


def error_strings() -> set[str]:
    """First arguments of domain errors, what else is said as a reason, and titles; {} stands for what is put in."""
    found = set()
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                raised = isinstance(node.func, ast.Name) and node.func.id in ERRORS
                given = node.args[:1] if raised else []
                given += node.args[1:2] if isinstance(node.func, ast.Name) and node.func.id == "refuse" else []
                given += [keyword.value for keyword in node.keywords if keyword.arg in ("why", "refusal")]
                found |= {text for each in given if (text := spelt(each)).strip("{} :")}
            if isinstance(node, ast.Assign) and path.name == "errors.py" and isinstance(node.value, ast.Tuple):
                found.add(node.value.elts[1].value)  # type: ignore[attr-defined]
    return found


def reasons() -> set[str]:
    """Why a model cannot be used, or a run or a job did not end well."""
    found = set()
    for path in [*(ROOT / "models").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                place = 0 if node.func.id in WHY else 1 if node.func.id in ("Outcome", "fail") else len(node.args)
                found |= {text for each in node.args[place : place + 1] if (text := spelt(each)).strip("{} :")}
    return found


def validators() -> set[str]:
    """What our own validators say of a field."""
    paths = [ROOT / "models" / "contract" / "tasks.py", ROOT / "app" / "validation.py"]
    paths += [*(ROOT / "models").rglob("*spec.py"), *(ROOT / "app").rglob("schemas.py")]
    calls = [
        node for path in paths for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
    ]
    return {spelt(call.args[0]) for call in calls if isinstance(call.func, ast.Name) and call.func.id == "ValueError"}


def spelt(node: ast.expr) -> str:
    """A literal, or an f-string as the catalogue writes it; "" for any other expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    parts = node.values if isinstance(node, ast.JoinedStr) else []
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)


def missing(language: str) -> list[str]:
    with (ROOT / "app" / "locales" / f"{language}.po").open("rb") as source:
        catalogue = read_po(source, locale=Locale.parse(language, sep="-"))
    wanted = template_strings() | schema_strings() | shown_strings() | error_strings() | reasons() | validators()
    wanted |= BY_VALUE | REASONS | OF_FIELDS
    return sorted(text for text in wanted if not (catalogue.get(text) and catalogue.get(text).string))


if __name__ == "__main__":
    lost = missing("zh-CN")
    for text in lost:
        print(f"not translated: {text!r}")
    sys.exit(bool(lost))
