"""Grids on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from app.generations.schemas import GenerationIn, GenerationOut, InputIn
from app.validation import Identifier, Slug
from models.contract.message import Message

LONGEST_SIDE, MOST_CELLS = 24, 64
INPUTS = TypeAdapter(list[InputIn])


class Axis(BaseModel):
    """What differs from one column or row to the next: a parameter, or what is given in a role, one each."""

    model_config = ConfigDict(extra="forbid")

    parameter: Slug | None = None
    role: Slug | None = None
    values: list[Any] = Field(min_length=1, max_length=LONGEST_SIDE, description="Of a role: works or uploads")

    @model_validator(mode="after")
    def one_of_them(self) -> Axis:
        if (self.parameter is None) == (self.role is None):
            raise ValueError(Message("Either a parameter or a role"))
        if self.role:
            self.values = INPUTS.validate_python(self.values)
        return self

    @property
    def name(self) -> str:
        return self.parameter or self.role or ""

    def applied(self, request: GenerationIn, value: Any) -> GenerationIn:
        if self.role:
            return request.model_copy(update={"inputs": {**request.inputs, self.role: [value]}})
        return request.model_copy(update={"params": {**request.params, self.name: value}})


class GridIn(BaseModel):
    """The cells have one seed, unless it differs itself."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "request": {
                        "model": "drawings-transformer",
                        "task": "text-to-image",
                        "params": {"prompt": "a fox"},
                    },
                    "columns": {"parameter": "temperature", "values": [0.7, 1.0, 1.3]},
                }
            ]
        },
    )

    request: GenerationIn
    columns: Axis
    rows: Axis | None = None

    @model_validator(mode="after")
    def fits(self) -> GridIn:
        if self.rows and (self.rows.parameter, self.rows.role) == (self.columns.parameter, self.columns.role):
            raise ValueError(Message("Rows and columns differ in the same thing"))
        if self.request.params.get("count", 1) != 1:
            raise ValueError(Message("A cell of a grid has one work"))
        if (number := len(self.columns.values) * len(self.rows.values if self.rows else [None])) > MOST_CELLS:
            raise ValueError(Message("A grid of {number} works; at most {most}", number=number, most=MOST_CELLS))
        return self

    def common(self) -> GenerationIn:
        """What all cells have: without what differs, which nobody has checked."""
        names = {axis.parameter for axis in (self.columns, self.rows) if axis}
        roles = {axis.role for axis in (self.columns, self.rows) if axis}
        params = {name: value for name, value in self.request.params.items() if name not in names}
        inputs = {role: given for role, given in self.request.inputs.items() if role not in roles}
        return self.request.model_copy(update={"params": params, "inputs": inputs})

    def requests(self) -> list[GenerationIn]:
        """Of the cells, row by row."""
        rows = [self.rows.applied(self.request, value) for value in self.rows.values] if self.rows else [self.request]
        return [self.columns.applied(row, value) for row in rows for value in self.columns.values]


class GridBrief(BaseModel):
    id: Identifier
    request: GenerationIn
    columns: Axis
    rows: Axis | None
    created_at: datetime


class GridOut(GridBrief):
    cells: list[list[GenerationOut | None]] = Field(description="Rows of jobs; none where one has been deleted")


class GridList(BaseModel):
    items: list[GridBrief]
    next_cursor: str | None
