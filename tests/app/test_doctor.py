"""The doctor looks at every file that a row names, in batches."""

from __future__ import annotations

import pytest

from app.database import session_scope
from app.storage import get_storage
from app.tables import Upload, User
from app.terminal import doctor


@pytest.mark.usefixtures("in_process")
def test_every_row_is_named_with_the_state_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "BATCH", 3)
    monkeypatch.setattr(doctor.checkpoints, "found", lambda: iter(()))
    storage = get_storage()
    digests = [storage.put(f"file {number}".encode()) for number in range(4)]
    with session_scope() as session:
        user = User(name="artist", name_key="artist", role="artist", password_hash="")
        session.add(user)
        session.flush()
        rows = [
            Upload(user_id=user.id, sha256=digest, media_type="image/png", size_bytes=1, width=1, height=1, label="")
            for digest in digests * 2
        ]
        session.add_all(rows)
        session.flush()
        owners = {row.id: row.sha256 for row in rows}
    storage.delete(digests[0])
    states = {digests[0]: doctor.MISSING}
    expected = sorted(("upload", identifier, states.get(digest, doctor.WELL)) for identifier, digest in owners.items())
    assert sorted(doctor.examine_files()) == expected


@pytest.mark.usefixtures("in_process")
def test_what_is_deleted_meanwhile_is_not_named_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.checkpoints, "found", lambda: iter(()))
    monkeypatch.setattr(doctor, "named", lambda kind: iter([[("0" * 64, "gone")]]) if kind == "upload" else iter(()))
    assert list(doctor.examine_files()) == []
