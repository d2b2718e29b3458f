"""Errors of the machine as answers."""

from __future__ import annotations

import errno
import json

import pytest
from fastapi import Request

from app.web.responses import attachment, on_surroundings


def request(language: str) -> Request:
    headers = [(b"accept-language", language.encode())]
    return Request({"type": "http", "method": "POST", "path": "/api/v1/uploads", "headers": headers})


@pytest.mark.parametrize(("language", "words"), [("en", "The disk is full"), ("zh-CN", "磁盘已满")])
def test_a_full_disk_is_said_wherever_it_is_met(language: str, words: str) -> None:
    answer = on_surroundings(request(language), OSError(errno.ENOSPC, "No space left on device"))
    assert answer.status_code == 507 and answer.headers["retry-after"]
    assert json.loads(bytes(answer.body))["detail"].startswith(words)


def test_any_other_error_of_the_machine_is_a_mistake_of_ours() -> None:
    with pytest.raises(PermissionError):
        on_surroundings(request("en"), PermissionError(errno.EACCES, "Permission denied"))


@pytest.mark.parametrize(
    ("name", "plain", "full"),
    [
        ("Kites of ours.zip", "Kites-of-ours.zip", "Kites%20of%20ours.zip"),
        ("风筝.zip", "-.zip", "%E9%A3%8E%E7%AD%9D.zip"),
        ('../a/b"\r\nX: y.png', "a-b-X--y.png", "a-b-X-%20y.png"),
        ("..", "file", "file"),
    ],
)
def test_what_is_saved_has_a_name_that_every_system_takes(name: str, plain: str, full: str) -> None:
    wanted = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{full}"
    assert attachment(name) == {"Content-Disposition": wanted}
