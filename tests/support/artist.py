"""An artist with a browser in this process, and the worker that does what is asked for."""

from __future__ import annotations

import io
from typing import Any

from fastapi.testclient import TestClient
from PIL import Image

from app.database import session_scope
from app.main import create_app
from app.users import service as users
from app.users.schemas import Role, UserIn
from workers import generate


def client(name: str, role: Role = "artist") -> TestClient:
    """A browser of a new user, in this process."""
    with session_scope() as session:
        user = users.create(session, UserIn(name=name, role=role, password="correct horse"))
        token = users.start_session(session, user)
    made = TestClient(create_app(), base_url="http://127.0.0.1", headers={"Origin": "http://127.0.0.1"})
    made.cookies.set("danqing_session", token)
    return made


def upload(browser: TestClient, name: str, content: bytes) -> str:
    answer = browser.post("/api/v1/uploads", files={"file": (name, content)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def picture(shade: int = 255, side: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def submit(browser: TestClient, request: dict[str, Any]) -> dict[str, Any]:
    answer = browser.post("/api/v1/generations", json=request)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def work() -> None:
    while generate.work_once("generation", "worker"):
        pass
