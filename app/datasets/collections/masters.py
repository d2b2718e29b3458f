"""Twenty-two old masters and ukiyo-e, as a game has them: cut into the pieces of puzzles, in one resource file."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from app.packages.debian import DebianPackage

GCOMPRIS = DebianPackage(
    "gcompris-qt-data",
    "3.1-2",
    "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
    "the works are in the public domain; packaged under GPL-3.0-or-later",
    "Reproductions of the GCompris project",
)
BOARD = re.compile(r'"width"\s*:\s*(\d+),\s*"height"\s*:\s*(\d+)')
PIECE = re.compile(r'"pixmapfile"\s*:\s*"image/(\S+?)\.webp",\s*"x"\s*:\s*"?([\d.]+)"?,\s*"y"\s*:\s*"?([\d.]+)')
TITLE = re.compile(r'instruction:\s*qsTr\("([^"]+)"\)')
COMPRESSED, FOLDER = 1, 2  # flags of an entry
ENTRY_BYTES = 22  # of the tree: name, flags, then a folder's children or a file's place, then its time


def entries(content: bytes) -> Iterator[tuple[str, bytes]]:
    """(path, content) of the files of a Qt resource file of version 3."""
    magic, version, tree, data, names = struct.unpack_from(">4sIIII", content)
    if magic != b"qres" or version != 3:
        raise ValueError("this is no Qt resource file of version 3")

    def walk(number: int, path: str) -> Iterator[tuple[str, bytes]]:
        entry = tree + number * ENTRY_BYTES
        name_at, flags = struct.unpack_from(">IH", content, entry)
        length, _ = struct.unpack_from(">HI", content, names + name_at)
        name = content[names + name_at + 6 :][: 2 * length].decode("utf-16-be")
        here = f"{path}/{name}" if name else path
        if flags & FOLDER:
            count, first = struct.unpack_from(">II", content, entry + 6)
            for child in range(first, first + count):
                yield from walk(child, here)
            return
        _, _, at = struct.unpack_from(">HHI", content, entry + 6)
        (size,) = struct.unpack_from(">I", content, data + at)
        blob = content[data + at + 4 :][:size]
        yield here, zlib.decompress(blob[4:]) if flags & COMPRESSED else blob

    yield from walk(0, "")


def paintings(package: Path) -> Iterator[tuple[str, str, Image.Image]]:
    """(name, title, RGB picture) of each in the unpacked package, put together from the pieces."""
    content = (package / "usr/share/gcompris-qt/rcc/paintings.rcc").read_bytes()
    files = {path.rpartition("/")[2]: blob for path, blob in entries(content)}
    boards = sorted(name for name in files if re.fullmatch(r"board\d+_0\.qml", name))
    for board in boards:
        text = files[board].decode("utf-8")
        size, title, pieces = BOARD.search(text), TITLE.search(text), PIECE.findall(text)
        if not (size and title and pieces):
            continue
        width, height = int(size[1]), int(size[2])
        page = Image.new("RGBA", (width, height))
        for name, x, y in pieces:
            piece = Image.open(io.BytesIO(files[f"{name}.webp"])).convert("RGBA")
            corner = round(float(x) * width - piece.width / 2), round(float(y) * height - piece.height / 2)
            page.alpha_composite(piece, (max(0, corner[0]), max(0, corner[1])))
        whole = page.crop(page.getchannel("A").getbbox())
        yield re.sub(r"[-_]\w?\d$", "", pieces[0][0]), title[1], whole.convert("RGB")
