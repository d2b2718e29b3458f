"""/api/v1/models"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.checkpoints import service
from app.checkpoints.schemas import ModelList, ModelOut
from app.deps import User
from app.errors import NotFound

router = APIRouter(prefix="/models", tags=["models"])
Name = Annotated[str, Path(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]


@router.get("", summary="List models")
def list_models(user: User) -> ModelList:
    return ModelList(items=[ModelOut.of(found) for found in service.catalogue().values()])


@router.get("/{name}", summary="One model, with the schema of what each task takes")
def get_model(user: User, name: Name) -> ModelOut:
    return ModelOut.of(service.get(name))


@router.get(
    "/{name}/samples",
    summary="The contact sheet",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def get_samples(user: User, name: Name) -> Response:
    path = service.get(name).folder / "samples.png"
    if not path.is_file():
        raise NotFound("This model has no contact sheet")
    return Response(path.read_bytes(), media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})
