"""Messages: made in English, kept with their values, said in any language."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError
from sqlalchemy import select, update

from app.checkpoints import service
from app.database import session_scope
from app.datasets.schemas import DatasetIn
from app.datasets.service import create
from app.datasets.tables import DatasetItem
from app.errors import Conflict, Invalid
from app.gallery.pages import parameters_of
from app.generations.schemas import GenerationIn
from app.i18n import translate
from app.validation import invalid_params
from models.contract.card import CheckpointError
from models.contract.message import Message

LARGE = Message("It is larger than {mebibytes} MiB", mebibytes=20)


def test_a_message_is_said_in_chinese_with_its_values() -> None:
    assert LARGE == "It is larger than 20 MiB" and translate("en", LARGE) == LARGE
    assert translate("zh-CN", LARGE) == "超过 20 MiB"
    assert (
        translate("zh-CN", Message("The film is too long")) == translate("zh-CN", "The film is too long") == "动画太长"
    )
    step = Message("{what} at step {step} is not finite", what="a weight", step=7)
    assert translate("zh-CN", step) == "第 7 步的 a weight 不是有限数", "in the order of the other language"
    minutes = Message("The run has trained {minutes:.1f} minutes already; give it more", minutes=1.25)
    assert translate("zh-CN", minutes) == "这次训练已进行 1.2 分钟；请给出更长时间"


def test_messages_within_are_translated_and_names_are_not() -> None:
    why = Message("The model {name} is gone", name="Gallery")
    assert translate("zh-CN", "Gallery") == "画廊", "it could be"
    assert translate("zh-CN", why) == "模型 Gallery 已不在"
    error = Conflict("It cannot be published: {reason}", reason=Message("The film is too long"))
    assert translate("zh-CN", error.message) == "无法发布：动画太长"


@pytest.mark.parametrize("text", ["{} of 100 %(x)s {0}", "{name} {", "}{", "{0.__class__}"])
def test_braces_of_others_are_text(text: str) -> None:
    assert Message(text) == text == translate("zh-CN", Message(text))
    held = Message("The model {name} is gone", name=text)
    assert translate("zh-CN", Message.from_json(held.to_json())) == f"模型 {text} 已不在"


def test_what_is_not_known_stays_english() -> None:
    assert translate("zh-CN", Message("Nobody has said {this} yet", this=1)) == "Nobody has said 1 yet"
    assert translate("zh-CN", None) == translate("zh-CN", "") == translate("zh-CN", Message()) == ""


def test_messages_travel_as_json() -> None:
    inner = Message("the loss of step {step} is {loss}", step=3, loss=math.nan)
    outer = Message("The run could not start: {reason}", reason=inner)
    read = Message.from_json(json.loads(json.dumps(outer.to_json(), allow_nan=False)))
    assert (
        read == outer and translate("zh-CN", read) == translate("zh-CN", outer) == "训练无法开始：第 3 步的损失是 nan"
    )
    path = Message("There is no recipe {path}", path=Path("a/b"))
    assert Message.from_json(path.to_json()) == path == "There is no recipe a/b"
    assert Message.from_json("as it was written before") == "as it was written before"
    copied = copy.deepcopy(outer)
    assert (copied, copied.template, copied.values) == (outer, outer.template, outer.values)


def test_errors_carry_their_messages() -> None:
    error = CheckpointError("the checkpoint {name} is missing", name="foxes")
    assert str(error) == "the checkpoint foxes is missing" and error.message.values == {"name": "foxes"}
    assert Conflict(error.message).message is error.message
    assert Conflict().message == Conflict.title


def test_an_answer_has_the_text_and_an_object_keeps_the_message() -> None:
    class Answer(BaseModel):
        error: Message | None = None

    answer = Answer(error=LARGE)
    assert answer.error is LARGE and answer.model_dump_json() == '{"error":"It is larger than 20 MiB"}'
    assert Answer.model_json_schema()["properties"]["error"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert isinstance(Answer(error="read").error, Message)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Answer(error=3)  # type: ignore[arg-type]


@pytest.mark.usefixtures("in_process")
def test_a_database_keeps_the_message() -> None:
    with session_scope() as session:
        dataset = create(session, None, DatasetIn(name="foxes"))
        session.add_all(DatasetItem(dataset_id=dataset.id, name=name, size_bytes=1) for name in ("a", "b"))
        session.flush()
        session.execute(update(DatasetItem).where(DatasetItem.name == "a").values(refusal=LARGE))
    with session_scope() as session:
        (item,) = session.scalars(select(DatasetItem).where(DatasetItem.refusal.is_not(None)))
        assert item.name == "a" and item.refusal is not None and translate("zh-CN", item.refusal) == "超过 20 MiB"
        item.refusal = None
    with session_scope(writing=False) as session:
        assert len(list(session.scalars(select(DatasetItem).where(DatasetItem.refusal.is_(None))))) == 2


def test_problems_of_fields_say_what_is_allowed() -> None:
    with pytest.raises(ValidationError) as refused:
        GenerationIn.model_validate({"model": "x" * 90, "task": "t", "params": 3, "inputs": {}, "more": 1})
    error: Invalid = invalid_params(refused.value, "request")
    said = {each["loc"][-1]: translate("zh-CN", each["msg"]) for each in error.errors}
    assert said == {"model": "最多 60 个字符", "params": "应为对象", "more": "没有这个字段"}


def test_the_parameters_of_a_work_are_called_as_the_form_calls_them() -> None:
    model = service.catalogue()["chorales"]
    given = {"key": "D minor", "metre": "3/4", "kind": None, "bars": 8, "upbeat": True, "seed": 3, "temperature": 0.9}
    shown = dict(parameters_of(model.does("music-generation"), model, given))
    assert [shown["Bars"], shown["Upbeat"], translate("zh-CN", shown["Key"])] == [8, True, "D小调"]
    assert not {"Kind", "Seed"} & shown.keys()
    assert parameters_of(None, None, {"prompt": "a fox", "top_p": 0.9}) == [("Top p", 0.9)], "the model is gone"
