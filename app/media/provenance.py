"""PNG files that carry their own provenance."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

from PIL import PngImagePlugin

from app.errors import Invalid
from app.media.medium import SAYS_NOTHING
from app.media.png import SIGNATURE, text

PngImagePlugin.MAX_TEXT_CHUNK = 1 << 20
PngImagePlugin.MAX_TEXT_MEMORY = 1 << 22
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" Iptc4xmpExt:DigitalSourceType='
    '"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/></rdf:RDF></x:xmpmeta>'
    '<?xpacket end="w"?>'
)


HEAD = 8 + 25  # bytes of a PNG's signature and of the chunk that comes first


def with_provenance(png: bytes, provenance: dict[str, Any]) -> bytes:
    """The same picture with `parameters` as other tools read it, `danqing` with the exact request, and XMP's mark of AI
    works.
    """
    info = PngImagePlugin.PngInfo()
    parameters = parameters_text(provenance)
    try:
        parameters.encode("latin-1")
        info.add_text("parameters", parameters)
    except UnicodeEncodeError:
        info.add_itxt("parameters", parameters)
    info.add_text("danqing", json.dumps(provenance, ensure_ascii=True))
    info.add_itxt("XML:com.adobe.xmp", XMP)
    return png[:HEAD] + b"".join(chunk(*each[:2]) for each in info.chunks) + png[HEAD:]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def signed(content: bytes) -> dict[str, Any]:
    """What a PNG of ours says of how it was made; its pixels are not decoded. Raises Invalid."""
    try:
        said = json.loads((content.startswith(SIGNATURE) and text(content, "danqing")) or "")
    except (ValueError, RecursionError) as error:
        raise Invalid(SAYS_NOTHING) from error
    if not isinstance(said, dict):
        raise Invalid(SAYS_NOTHING)
    return said


def parameters_text(provenance: dict[str, Any]) -> str:
    """The prompt, then `Key: value` pairs in one line: the convention that A1111 started."""
    params = dict(provenance["params"])
    pairs = {
        "Seed": provenance["seed"],
        "CFG scale": params.get("guidance_scale"),
        "Size": f"{provenance['width']}x{provenance['height']}",
        "Model": provenance["model"],
        "Model hash": provenance["checkpoint_sha256"][:10],
        "Version": f"danqing {provenance['version']}",
    }
    line = ", ".join(f"{key}: {value}" for key, value in pairs.items() if value is not None)
    return f"{provenance.get('subject', params.get('prompt', ''))}\n{line}"
