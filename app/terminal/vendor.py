"""Front-end libraries: fetched from npm at set-up into static/vendor (git-ignored), served from our own origin."""

from __future__ import annotations

from pathlib import Path

from app.packages.npm import NpmPackage, fetch_npm
from app.settings import ROOT
from models.contract.files import write_atomically

HTMX = NpmPackage(
    "htmx.org",
    "4.0.1",
    "5fba65616ca148a86d377e9771bcada7f35faee3558651feb929eea425e13b3c",
    "BSD-0-Clause",
    "htmx, Big Sky Software",
)
UPLOT = NpmPackage(
    "uplot",
    "1.6.32",
    "4b8a8191e425658e3ea8c8c1314b0fc679c861ee3a1af2b20c7b16ba50b5133d",
    "MIT",
    "uPlot, Leon Sorokin",
)
PHOTOSWIPE = NpmPackage(
    "photoswipe",
    "5.4.4",
    "4615d56b1f4f8e40f70c9f433a97803e5131d7166285b467ff63d26e42ef397b",
    "MIT",
    "PhotoSwipe, Dmytro Semenov",
)
AXE = NpmPackage(
    "axe-core",
    "4.14.1",
    "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745",
    "MPL-2.0",
    "axe-core, Deque Systems (tests only)",
)
FILES = {
    HTMX: {"dist/htmx.min.js": "htmx.min.js"},
    UPLOT: {"dist/uPlot.esm.js": "uPlot.esm.js", "dist/uPlot.min.css": "uPlot.min.css"},
    PHOTOSWIPE: {
        "dist/photoswipe.esm.min.js": "photoswipe.esm.min.js",
        "dist/photoswipe.css": "photoswipe.css",
    },
    AXE: {"axe.min.js": "axe.min.js"},
}
FOLDER = ROOT / "static" / "vendor"


def missing() -> list[str]:
    """Files that set-up has not fetched yet."""
    return [name for files in FILES.values() for name in files.values() if not (FOLDER / name).is_file()]


def fetch(cache: Path) -> None:
    """Fetch what is missing. Raises FetchError."""
    if not missing():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    for package, files in FILES.items():
        folder = fetch_npm(package, cache)
        for source, name in files.items():
            write_atomically(FOLDER / name, (folder / source).read_bytes())
