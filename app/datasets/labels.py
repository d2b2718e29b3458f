"""What the folders and names of files say of a dataset: which style each is in, and which show the same thing."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import PurePosixPath

from app.text import composed, folded

MOST_STYLES = 100  # more folders than this are an order of the files, not labels
UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')  # in the name of a file, somewhere
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # names that Windows keeps for itself
LONGEST = 180  # bytes of UTF-8: a digest and a suffix still fit into the 255 of most file systems


def place(name: str) -> tuple[str, str]:
    """(folder, stem) of the path that a file had in its upload; each a name that any system takes, or no folder."""
    path = PurePosixPath(composed(name))
    return tame(path.parent.name), tame(path.stem) or "file"


def tame(part: str) -> str:
    tamed = UNSAFE.sub("_", part).strip(". ").encode()[:LONGEST].decode(errors="ignore").strip(". ")
    return f"_{tamed}" if DEVICES.match(tamed) else tamed


def labelled(names: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Styles and concepts, by digest, of the files of a dataset with their names.

    Where every file lies in a folder, and not all in one, folders are styles, as imagefolder has it; files of one name
    in several of them, `ink/fox.png` and `oil/fox.png`, are then drawings of one thing. Else there are no styles.
    """
    places = {digest: place(name) for digest, name in names.items()}
    styles = {digest: folder for digest, (folder, _) in places.items()}
    different = set(styles.values())
    if "" in different or not 2 <= len(different) <= min(MOST_STYLES, len(places) // 2):
        return dict.fromkeys(places, ""), {digest: digest for digest in places}
    folders = defaultdict(list)
    for folder, stem in places.values():
        folders[folded(stem)].append(folder)
    shared = {stem for stem, found in folders.items() if 1 < len(found) == len(set(found))}
    stems = {digest: folded(stem) for digest, (_, stem) in places.items()}
    return styles, {digest: stem if stem in shared else digest for digest, stem in stems.items()}
