"""Colours of foreign pictures, brought to sRGB.

By an embedded ICC profile; else by code points (ITU-T H.273), by a PNG's gamma and primaries, or by the mark that
cameras leave for Adobe RGB. A description that is broken, or of other channels than the picture's, is passed over.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache

from PIL import Image, ImageCms

from app.media.png import Colours

Curve = Callable[[float], float]  # what a number in [0, 1] stands for, in light
SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
D65 = (0.3127, 0.3290)
SRGB = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # x and y of white, red, green, blue
ADOBE = (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
PRIMARIES = {
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
NEARLY = 0.05  # a gamma within this of that of sRGB means sRGB
STEPS = 4096
INTEROPERABILITY = 0xA005  # of Exif


def srgb_curve(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def perceptual_quantizer(value: float) -> float:
    """SMPTE ST 2084, with paper white at 203 nits; what is brighter is white."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = value ** (1 / m2)
    return float(10_000 / 203 * (max(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1))


def hybrid_log_gamma(value: float) -> float:
    """ITU-R BT.2100, with paper white at three quarters of the signal."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = value**2 / 3 if value <= 0.5 else (2.718281828459045 ** ((value - c) / a) + b) / 12
    return float(scene / 0.2650)


def power(exponent: float) -> Curve:
    return lambda value: float(value**exponent)


CURVES: dict[int, Curve] = {4: power(2.2), 5: power(2.8), 8: power(1), 16: perceptual_quantizer, 18: hybrid_log_gamma}


def to_srgb(picture: Image.Image, icc: bytes | None) -> Image.Image:
    """A picture of mode L, LA, RGB, RGBA or CMYK in the colours of sRGB; its transparency stays as it is."""
    alpha = picture.getchannel("A") if picture.mode in ("LA", "RGBA") else None
    opaque = picture.convert(picture.mode[:-1]) if alpha else picture
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc or b""))
        if profile.profile.xcolor_space != SPACES.get(opaque.mode):
            return picture
        made = ImageCms.profileToProfile(
            opaque, profile, srgb(), ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture
    assert made is not None
    if alpha:
        made.putalpha(alpha)
    return made


@lru_cache(1)
def srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def profile_of(picture: Image.Image, content: bytes, colours: Colours | None) -> bytes | None:
    """The ICC profile that says what a picture's numbers mean; none where they mean sRGB. `colours`: of a PNG."""
    if colours is not None:
        if colours.cicp:
            return of_code_points(*colours.cicp)
        return colours.icc or (None if colours.is_srgb else of_gamma(colours.gamma, colours.chromaticities))
    if icc := picture.info.get("icc_profile"):
        return bytes(icc)
    if picture.format in ("AVIF", "HEIF"):
        at = content.find(b"colrnclx", 0, 1 << 16) + 8
        return of_code_points(*struct.unpack_from(">HH", content, at)) if at >= 8 else None
    return matrix_profile(ADOBE, power(563 / 256)) if is_adobe_rgb(picture) else None


def is_adobe_rgb(picture: Image.Image) -> bool:
    try:
        return str(picture.getexif().get_ifd(INTEROPERABILITY).get(1, "")).startswith("R03")
    except Exception:  # of a stranger's Exif anything may be broken
        return False


def of_code_points(primaries: int, transfer: int) -> bytes | None:
    if primaries not in PRIMARIES and transfer not in CURVES:
        return None
    return matrix_profile(PRIMARIES.get(primaries, SRGB), CURVES.get(transfer, srgb_curve))


def of_gamma(gamma: float | None, chromaticities: tuple[float, ...] | None) -> bytes | None:
    usual = gamma is None or gamma <= 0 or abs(gamma * 2.2 - 1) < NEARLY
    near = chromaticities is None or all(abs(a - b) < 0.005 for a, b in zip(chromaticities, SRGB, strict=True))
    if usual and near:
        return None
    curve = srgb_curve if usual else power(1 / max(gamma or 1, 0.01))
    return matrix_profile(SRGB if near or chromaticities is None else chromaticities, curve)


def matrix_profile(chromaticities: Sequence[float], curve: Curve) -> bytes | None:
    """An ICC profile (version 2) of three primaries and one curve; none where the primaries span no space."""
    white = chromaticities[0:2]
    try:
        columns = [xyz(*chromaticities[i : i + 2]) for i in (2, 4, 6)]
        scales = solved(columns, xyz(*white))
        adapted = [d50(white, [scale * part for part in column]) for scale, column in zip(scales, columns, strict=True)]
        numbers = [round(min(max(curve(i / (STEPS - 1)), 0), 1) * 65535) for i in range(STEPS)]
        table = b"curv" + bytes(4) + struct.pack(f">I{STEPS}H", STEPS, *numbers)
        tags = [(name, b"XYZ " + bytes(4) + fixed(column)) for name, column in zip(COLUMNS, adapted, strict=True)]
    except (ZeroDivisionError, struct.error):
        return None
    return icc_file([(b"wtpt", b"XYZ " + bytes(4) + fixed(WHITE)), *tags], table)


COLUMNS = (b"rXYZ", b"gXYZ", b"bXYZ")
WHITE = (0.9642, 1.0, 0.8249)  # D50, which profiles refer to
BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


def xyz(x: float, y: float) -> list[float]:
    return [x / y, 1.0, (1 - x - y) / y]


def times(matrix: Sequence[Sequence[float]], vector: Sequence[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def solved(columns: Sequence[Sequence[float]], vector: Sequence[float]) -> list[float]:
    """x of a 3 x 3 system, by Cramer's rule. Raises ZeroDivisionError."""

    def determinant(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> float:
        return (
            a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1]) + c[0] * (a[1] * b[2] - a[2] * b[1])
        )

    whole = determinant(*columns)
    return [determinant(*(vector if i == j else column for j, column in enumerate(columns))) / whole for i in range(3)]


def d50(white: Sequence[float], colour: Sequence[float]) -> list[float]:
    """A colour under `white` as it looks under D50 (Bradford)."""
    cones = [
        cone * there / here
        for cone, here, there in zip(
            times(BRADFORD, colour), times(BRADFORD, xyz(*white)), times(BRADFORD, WHITE), strict=True
        )
    ]
    return solved(list(zip(*BRADFORD, strict=True)), cones)


def fixed(vector: Sequence[float]) -> bytes:
    return struct.pack(">3i", *(round(part * 65536) for part in vector))


def icc_file(tags: list[tuple[bytes, bytes]], curve: bytes) -> bytes:
    """Header, table of tags, tags; the curve once for all three channels."""
    names = [*(name for name, _ in tags), b"rTRC", b"gTRC", b"bTRC"]
    at = 128 + 4 + 12 * len(names)
    table, body = struct.pack(">I", len(names)), b""
    for name, data in tags:
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    for name in names[len(tags) :]:
        table += name + struct.pack(">II", at + len(body), len(curve))
    size = at + len(body) + len(curve)
    header = struct.pack(">I4xI4s4s4s12x4s28x3i48x", size, 0x02100000, b"mntr", b"RGB ", b"XYZ ", b"acsp", *D50_HEADER)
    return header + table + body + curve


D50_HEADER = (0xF6D6, 0x10000, 0xD32D)
