"""Every string that people see has a Chinese translation, with the same fields: strings of templates, of schemas, and
messages. A message is a template and its values, never an f-string, which no catalogue could know.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from string import Formatter
from typing import Any

from babel import Locale
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import app.tables  # noqa: F401
from app import errors, outages
from app.checkpoints.figures import words
from app.checkpoints.metric_names import METRICS
from app.datasets.collections import COLLECTIONS
from app.datasets.starters import STARTERS
from app.errors import DISK_IS_FULL, FILE_IS_DAMAGED, UNEXPECTED
from app.main import create_app
from app.media import SAYS_NOTHING
from app.security import HOST_IS_MISSING, OTHER_SITE
from app.users.service import WRONG
from app.validation import OF_FIELDS
from app.web.forms import fields, network_fields
from app.web.openapi import description
from app.web.reference import strings
from app.web.responses import InternalError
from models.contract.registry import families

SAYS_MORE = re.compile(r"[A-Za-z]")  # than a number, or Chinese
ROOT = Path(__file__).parent.parent
BY_VALUE = {"queued", "running", "paused", "succeeded", "failed", "cancelled"}  # statuses, in templates
REASONS = {
    WRONG,
    DISK_IS_FULL,
    FILE_IS_DAMAGED,
    UNEXPECTED,
    OTHER_SITE,
    HOST_IS_MISSING,
    SAYS_NOTHING,
    *(text for name, text in vars(outages).items() if name.isupper() and isinstance(text, str)),
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
    preparations = [f.preparation for f in known]
    forms = [fields(form) for form in [*(task.params for task in tasks), *trainings, *preparations]]
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
    shown = {text for form in forms for f in form for text in (f.title, f.description, *f.titles.values()) if text}
    shown |= {f.titles.get(each, each) for form in forms for f in form for each in f.choices if isinstance(each, str)}
    return titles | shown


def shown_strings() -> set[str]:
    """Names of curves, and of every figure, model and choice in the zoo."""
    found, known = set(METRICS.values()), families()
    for path in (ROOT / "models" / "zoo").glob("*/card.json"):
        card = json.loads(path.read_text("utf-8"))
        found |= {card["title"], *names_in(card.get("figures", {}))}
        for task in known[card["family"]].tasks:
            found.update(*task.choices(card).values())
    return {name for name in found if SAYS_MORE.search(name)}


def names_in(figures: dict[str, Any]) -> set[str]:
    inner = [names_in(value) for value in figures.values() if isinstance(value, dict)]
    return {words(name) for name in figures}.union(*inner)


def modules() -> list[tuple[Path, ast.Module]]:
    paths = [path for root in ("app", "models", "workers") for path in (ROOT / root).rglob("*.py")]
    return [(path, ast.parse(path.read_text("utf-8"))) for path in paths]


def message_classes() -> set[str]:
    """Names of `Message`, of `MessageError` and of all that derive from it."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for _, module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.ClassDef)
    }
    found, more = set[str](), {"MessageError"}
    while more:
        found |= more
        more = {name for name, of in bases.items() if of & found} - found
    return found | {"Message"}


def messages() -> tuple[set[str], list[str]]:
    """(templates, places where one is made as an f-string)."""
    classes, templates, wrong = message_classes(), set[str](), list[str]()
    for path, module in modules():
        for node in ast.walk(module):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name, first = getattr(node.func, "id", None), node.args[0]
            if name not in classes and ast.unparse(node.func) != "super().__init__":
                continue
            if isinstance(first, ast.JoinedStr):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                templates.add(first.value)
    return templates, wrong


def titles() -> set[str]:
    """Of answers with an error."""
    return {kind.title for kind in (*vars(errors).values(), InternalError) if hasattr(kind, "status")}


def validators() -> set[str]:
    """What our own validators say of a field."""
    paths = [ROOT / "models" / "contract" / "tasks.py", ROOT / "app" / "validation.py"]
    paths += [*(ROOT / "models").rglob("*spec.py"), *(ROOT / "app").rglob("schemas.py")]
    calls = [
        node for path in paths for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
    ]
    return {spelt(call.args[0]) for call in calls if isinstance(call.func, ast.Name) and call.func.id == "ValueError"}


def spelt(node: ast.expr) -> str:
    """A literal; "" for any other expression."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def fields_of(text: str) -> set[str]:
    return {name.partition("!")[0] for _, name, _, _ in Formatter().parse(text) if name is not None}


def problems(language: str) -> list[str]:
    with (ROOT / "app" / "locales" / f"{language}.po").open("rb") as source:
        catalogue = read_po(source, locale=Locale.parse(language, sep="-"))
    templates, wrong = messages()
    wanted = template_strings() | schema_strings() | shown_strings() | templates | titles() | validators()
    wanted |= BY_VALUE | REASONS | set(OF_FIELDS.values()) | strings(description(create_app()))
    found = {text: catalogue.get(text) for text in wanted if text}
    lacking = [text for text, message in found.items() if not (message and message.string)]
    other = [
        text for text in templates if (message := found.get(text)) and fields_of(str(message.string)) != fields_of(text)
    ]
    return [
        *(f"an f-string, where a message is a template and its values: {place}" for place in wrong),
        *(f"not translated: {text!r}" for text in sorted(lacking)),
        *(f"translated with other fields: {text!r}" for text in sorted(other)),
    ]


if __name__ == "__main__":
    found = problems("zh-CN")
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))
