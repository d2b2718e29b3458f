"""Front-end libraries: fetched from npm at set-up into static/vendor (git-ignored), served from our own origin."""

from __future__ import annotations

from pathlib import Path

from app.media.sound import CORE, SOUNDFONT_FILE
from app.packages.debian import DebianPackage, fetch_debian
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
SPESSASYNTH = NpmPackage(
    "spessasynth_lib",
    "4.3.14",
    "44912872fa9c1ce8c132f3259b7af4813f0a31f85bd83b6ee010b1c960069072",
    "Apache-2.0",
    "spessasynth_lib, spessasus",
)
SPESSASYNTH_CORE = NpmPackage(
    "spessasynth_core",
    "4.3.22",
    "ff232efdef6bdd46037098dfede1f652aec53dd6042463170144bb929af722f9",
    "Apache-2.0",
    "spessasynth_core, spessasus",
)
VORBIS = NpmPackage(
    "stb-vorbis",
    "0.0.6",
    "c9b539e71303f17bfb2fbcfd546fa905d1e25b045a3bd15454e6caf072f52659",
    "Apache-2.0",
    "stb-vorbis, of stb_vorbis by Sean Barrett",
)
SOUNDFONT = DebianPackage(
    "musescore-general-soundfont-small",
    "0.2.1-1",
    "65f9c1cb658c49e8713d2c95238d5d26868f520341f74a4fe26248a8f763c739",
    "MIT; some samples CC0 or in the public domain",
    "MuseScore General, S. Christian Collins and others",
)
FILES = {
    HTMX: {"dist/htmx.min.js": "htmx.min.js"},
    UPLOT: {"dist/uPlot.esm.js": "uPlot.esm.js", "dist/uPlot.min.css": "uPlot.min.css"},
    PHOTOSWIPE: {
        "dist/photoswipe.esm.min.js": "photoswipe.esm.min.js",
        "dist/photoswipe.css": "photoswipe.css",
    },
    AXE: {"axe.min.js": "axe.min.js"},
    SPESSASYNTH: {
        "dist/index.js": "spessasynth.js",
        "dist/spessasynth_processor.min.js": "spessasynth_processor.min.js",
    },
    SPESSASYNTH_CORE: {"dist/index.js": CORE},
    VORBIS: {"dist/index.js": "stb-vorbis.mjs"},
}
# Modules that import others by their package's name find them beside themselves: browsers know no packages.
IMPORTS = {b'"spessasynth_core"': f'"./{CORE}"'.encode(), b'"stb-vorbis"': b'"./stb-vorbis.mjs"'}
SOUNDS = "usr/share/sounds/sf3/MuseScore_General_Lite.sf3"
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
            content = (folder / source).read_bytes()
            if name in (CORE, "spessasynth.js"):
                for package_name, place in IMPORTS.items():
                    content = content.replace(b"from " + package_name, b"from " + place)
            write_atomically(FOLDER / name, content)


def fetch_soundfont(cache: Path) -> None:
    """What scores are played with; without it all else works. Raises FetchError, as on systems without apt."""
    if not (FOLDER / SOUNDFONT_FILE).is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        write_atomically(FOLDER / SOUNDFONT_FILE, (fetch_debian(SOUNDFONT, cache) / SOUNDS).read_bytes())
