"""Scores as notation to read: MusicXML set by Verovio."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from app.media import musicxml
from models.contract.values import Score

ONE = Lock()  # its fonts are of the process
OPTIONS = {
    "pageWidth": 1800,  # tenths of a millimetre, as all that follow
    "pageHeight": 60_000,
    "pageMarginTop": 40,
    "pageMarginBottom": 40,
    "pageMarginLeft": 40,
    "pageMarginRight": 40,
    "adjustPageHeight": True,
    "scale": 50,
    "header": "none",
    "footer": "none",
    "svgViewBox": True,
}


def engraved(score: Score) -> bytes:
    """One SVG page, as high as it has to be. Raises ImportError where Verovio is missing."""
    import verovio  # is loaded where a score is first looked at

    with ONE:
        toolkit = verovio.toolkit(False)
        toolkit.setResourcePath(str(Path(verovio.__file__).with_name("data")))  # other threads know of none
        toolkit.setOptions(OPTIONS)
        if not toolkit.loadData(musicxml.write(score).decode()):
            raise ValueError("Verovio cannot read what was written for it")
        page: str = toolkit.renderToSVG(1)
    return page.encode()
