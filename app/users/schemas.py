"""Users and keys on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StringConstraints, model_validator

from app.text import composed
from app.users import names, passwords
from app.validation import Identifier


def readable(name: str) -> str:
    name = composed(name)
    if why := names.problem(name):
        raise ValueError(why)
    return name


def not_easy(password: str) -> str:
    if why := passwords.problem(password):
        raise ValueError(why)
    return password


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f<>\"'&/\\]+$"),
    AfterValidator(readable),
]
Password = Annotated[
    str, StringConstraints(min_length=passwords.FEWEST, max_length=passwords.MOST), AfterValidator(not_easy)
]
Role = Literal["artist", "admin"]
Scope = Literal["read", "generate", "train", "admin"]


class UserIn(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "li", "role": "artist"}]})

    name: Name
    role: Role = "artist"
    password: Password | None = None

    @model_validator(mode="after")
    def not_its_name(self) -> UserIn:
        if self.password and (why := passwords.problem(self.password, self.name)):
            raise ValueError(why)
        return self


class UserChange(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"role": "admin"}]})

    role: Role | None = None
    password: Password | None = None
    disabled: StrictBool | None = None
    revoke_keys: StrictBool = Field(False, description="End every API key of theirs")


class UserOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: Identifier
    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None


class KeyIn(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "my script", "days": 90}]})

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60, pattern=r"^[^\x00]+$")]
    scopes: Annotated[list[Scope], Field(min_length=1, description="What it may do; every key reads")] = [
        "read",
        "generate",
    ]
    days: int | None = Field(None, ge=1, le=3650, description="For so long it is good; empty: until it is revoked")


class KeyOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: Identifier
    name: str
    hint: str = Field(description="The key's first characters")
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewKeyOut(KeyOut):
    key: str = Field(description="The key itself, shown this once")


class SignIn(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "li", "password": "correct horse"}]}
    )

    name: str = Field(max_length=200)
    password: str = Field(max_length=1000)
