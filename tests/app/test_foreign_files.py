"""Files as the world has them: colour profiles, phones' photographs, names in every script, archives without flags,
leftovers; and what is said of that which was given and not used.
"""

from __future__ import annotations

import io
import random
import struct
import unicodedata
import zipfile
import zlib
from typing import Any

import pillow_heif
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from app.datasets import service
from app.datasets.archive import LEFTOVERS
from app.datasets.captions import Captions, from_name
from app.errors import Invalid
from app.media import colour, pixels, png, provenance
from app.media.jpeg import scans
from app.media.rows import tidy
from app.storage import get_storage
from app.text import folded, shown
from app.zip_names import names_of
from tests.app.test_datasets import add, drawing, listed, make, zipped
from tests.app.test_imaging import encoded

GREEN = (60, 180, 90)


def read(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(pixels.read_upload(content)[0]))


def near(picture: Image.Image, wanted: tuple[int, ...], most: int = 3) -> bool:
    found = picture.convert("RGB").getpixel((picture.width // 2, picture.height // 2))
    return all(abs(a - b) <= most for a, b in zip(found, wanted, strict=True))  # type: ignore[arg-type]


def with_chunks(content: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with these chunks behind its head."""
    made = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return content[:33] + made + content[33:]


# --- colours --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_picture_of_a_wide_screen_is_brought_to_srgb(form: str) -> None:
    """(60, 180, 90) on a Display P3 screen, by the matrices of SMPTE EG 432-1 and IEC 61966-2-1."""
    profile = colour.matrix_profile(colour.PRIMARIES[12], colour.srgb_curve)
    options = {"lossless": True} if form == "WEBP" else {"quality": 100, "subsampling": 0} if form == "JPEG" else {}
    assert near(read(encoded(Image.new("RGB", (64, 64), GREEN), form, icc_profile=profile, **options)), (0, 183, 78))


def test_transparency_survives_the_conversion() -> None:
    profile = colour.matrix_profile(colour.PRIMARIES[12], colour.srgb_curve)
    made = read(encoded(Image.new("RGBA", (8, 8), (*GREEN, 77)), icc_profile=profile))
    assert made.mode == "RGBA" and made.getpixel((4, 4))[3] == 77 and near(made, (0, 183, 78))  # type: ignore[index]


def test_a_grey_profile_of_another_gamma_is_believed() -> None:
    """A grey of 128 with a gamma of 1.0 is half of the light: 188 in sRGB."""
    head = struct.pack(
        ">I4xI4s4s4s12x4s28x3i48x",
        128 + 4 + 24 + 20 + 12,
        0x02100000,
        b"mntr",
        b"GRAY",
        b"XYZ ",
        b"acsp",
        *colour.D50_HEADER,
    )
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", 156, 20, b"kTRC", 176, 12)
    body = b"XYZ " + bytes(4) + colour.fixed(colour.WHITE) + b"curv" + bytes(4) + struct.pack(">I", 0)
    assert near(read(encoded(Image.new("L", (8, 8), 128), icc_profile=head + tags + body)), (188, 188, 188))


@pytest.mark.parametrize(
    ("chunks", "wanted"),
    [
        ([(b"gAMA", struct.pack(">I", 100_000))], (188, 188, 188)),
        ([(b"gAMA", struct.pack(">I", 45_455))], (128, 128, 128)),
        ([(b"cICP", bytes([1, 8, 0, 1]))], (188, 188, 188)),
        ([(b"cICP", bytes([1, 13, 0, 1])), (b"gAMA", struct.pack(">I", 100_000))], (128, 128, 128)),
        ([(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000))], (128, 128, 128)),
    ],
    ids=["linear", "usual", "cicp-linear", "cicp-first", "srgb-before-gamma"],
)
def test_what_a_png_says_of_its_colours_is_believed_in_the_order_of_its_standard(chunks: Any, wanted: Any) -> None:
    assert near(read(with_chunks(encoded(Image.new("RGB", (8, 8), (128, 128, 128))), *chunks)), wanted)


def test_the_primaries_of_a_png_are_believed() -> None:
    """Those of Display P3: the same green as by its profile."""
    numbers = struct.pack(">8I", *(round(x * 100_000) for x in colour.PRIMARIES[12]))
    assert near(read(with_chunks(encoded(Image.new("RGB", (8, 8), GREEN)), (b"cHRM", numbers))), (0, 183, 78))


def test_a_camera_that_marks_adobe_rgb_in_its_exif_is_believed() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[colour.INTEROPERABILITY] = {1: "R03"}
    picture = encoded(Image.new("RGB", (64, 64), GREEN), "JPEG", exif=exif, quality=100, subsampling=0)
    assert near(read(picture), (0, 181, 83))


def test_srgb_stays_as_it_is_bit_for_bit() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    draws = random.Random(0)
    picture = Image.frombytes("RGB", (32, 32), draws.randbytes(3072))
    assert read(encoded(picture, icc_profile=profile)).tobytes() == picture.tobytes()


@pytest.mark.parametrize("profile", [b"", b"no profile", b"\0" * 200], ids=["empty", "text", "zeros"])
def test_a_broken_profile_costs_itself_alone(profile: bytes) -> None:
    assert near(read(encoded(Image.new("RGB", (8, 8), GREEN), "JPEG", icc_profile=profile or None, quality=100)), GREEN)
    assert near(read(with_chunks(encoded(Image.new("RGB", (8, 8), GREEN)), (b"iCCP", b"x\0\0" + profile))), GREEN)


# --- what lies beside the picture -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text-bomb", "profile-bomb", "bad-checksum", "bad-exif"])
def test_side_information_over_a_limit_costs_itself_alone(kind: str) -> None:
    picture = encoded(Image.new("RGB", (8, 8), GREEN))
    if kind == "text-bomb":
        info = PngImagePlugin.PngInfo()
        info.add_text("bomb", "x" * 30_000_000, zip=True)
        picture = encoded(Image.new("RGB", (8, 8), GREEN), pnginfo=info)
    elif kind == "profile-bomb":
        picture = with_chunks(picture, (b"iCCP", b"x\0\0" + zlib.compress(b"\0" * (png.MOST_PROFILE + 1))))
    elif kind == "bad-checksum":
        picture = with_chunks(picture, (b"tEXt", b"a\0b")).replace(b"tEXta\0b", b"tEXta\0c")
    else:
        picture = with_chunks(picture, (b"eXIf", b"MM\0*\xff\xff\xff\xff"))
    assert near(read(picture), GREEN)


def test_a_profile_of_more_than_a_mebibyte_is_read() -> None:
    profile = colour.matrix_profile(colour.PRIMARIES[12], colour.srgb_curve)
    assert profile
    large = struct.pack(">I", len(profile) + (3 << 20)) + profile[4:] + random.Random(0).randbytes(3 << 20)
    picture = with_chunks(encoded(Image.new("RGB", (8, 8), GREEN)), (b"iCCP", b"x\0\0" + zlib.compress(large)))
    assert near(read(picture), (0, 183, 78))


def test_what_a_work_says_of_itself_is_found_beside_much_text() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "x" * 2_000_000, zip=True)
    info.add_text("danqing", '{"seed": 7}')
    assert provenance.signed(encoded(Image.new("RGB", (8, 8)), pnginfo=info)) == {"seed": 7}
    for add_text in (PngImagePlugin.PngInfo.add_itxt, PngImagePlugin.PngInfo.add_text):
        packed = PngImagePlugin.PngInfo()
        add_text(packed, "danqing", '{"seed": 8}', zip=True)  # as another program saves it again
        assert provenance.signed(encoded(Image.new("RGB", (8, 8)), pnginfo=packed)) == {"seed": 8}


# --- formats and sizes ----------------------------------------------------------------------------------------------


def test_photographs_of_phones_are_taken() -> None:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (96, 64), GREEN)).save(buffer, format="HEIF", quality=100)
    assert near(read(buffer.getvalue()), GREEN, 6)
    for form in ("AVIF", "TIFF"):
        assert near(read(encoded(Image.new("RGB", (96, 64), GREEN), form)), GREEN, 6)


def test_a_jpeg_of_a_hundred_megapixels_is_decoded_at_a_fraction() -> None:
    large = Image.new("L", (12_000, 9_000), 128)
    assert pixels.read_upload(encoded(large, "JPEG"))[1:] == (2048, 1536)


def test_a_limit_that_is_exceeded_is_named() -> None:
    for form in ("PNG", "TIFF"):
        with pytest.raises(Invalid, match="49 million, at most 40 million"):
            pixels.read_upload(encoded(Image.new("1", (7_000, 7_000)), form))


def test_a_jpeg_that_is_held_in_memory_whole_has_a_limit_of_its_own() -> None:
    picture = encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=True, subsampling=0)
    at = picture.index(b"\xff\xc2") + 5
    huge = picture[:at] + struct.pack(">HH", 14_000, 14_000) + picture[at + 4 :]
    with pytest.raises(Invalid, match="several scans"):
        pixels.read_upload(huge)


def test_scans_of_a_thumbnail_are_not_those_of_the_picture() -> None:
    thumbnail = encoded(Image.new("RGB", (16, 16)), "JPEG", progressive=True)
    plain, progressive = (
        encoded(Image.new("RGB", (64, 64)), "JPEG", exif=b"Exif\0\0" + thumbnail, progressive=p) for p in (False, True)
    )
    assert scans(plain) == 1 and scans(progressive) == 2


def test_a_tiff_of_several_pages_says_that_one_was_kept(in_process: None) -> None:
    pages = [Image.open(io.BytesIO(drawing(n))) for n in (1, 2)]
    found = add(make(), ("scan.tiff", encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])))
    assert found.accepted == 1 and "2 pages" in str(found.remarks[0].reason)


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("x/ลูกแมว.png", "ลูกแมว"),
        ("x/वन फूल.png", "वन फूल"),
        ("x/قطة حمراء.png", "قطة حمراء"),
        ("x/狐.png", "狐"),
        ("x/🦊.png", "🦊"),
        ("x/rock'n'roll.png", "rock'n'roll"),
        ("x/covid19 mask.png", "covid19 mask"),
        ("x/facade.png", "facade"),
        (unicodedata.normalize("NFD", "x/crème brûlée.png"), "crème brûlée"),
        ("kites/DSC01234.JPG", "kites"),
        ("kites/微信图片_20240101.jpg", "kites"),
        ("kites/3f2b8c1a-4b1c-11ee-be56-0242ac120002.png", "kites"),
        ("kites/p1.png", "kites"),
    ],
)
def test_a_name_in_any_script_is_a_caption_and_that_of_a_camera_is_none(name: str, caption: str) -> None:
    assert from_name(name) == caption


def test_joiners_stay_and_what_turns_text_around_goes() -> None:
    family, persian = "👨\u200d👩\u200d👧", "می\u200cخواهم"
    assert tidy(f" {family}\t{persian}\n") == f"{family} {persian}"
    assert shown("fox\u202egnp.exe\x07") == "foxgnp.exe"


@pytest.mark.parametrize("text", ["Ωmega Å", "각 고양이", "Tiếng Việt", "が"])
def test_what_looks_the_same_is_the_same(text: str) -> None:
    assert folded(unicodedata.normalize("NFD", text)) == folded(unicodedata.normalize("NFC", text).upper())


@pytest.mark.parametrize("form", ["csv", "folder"])
def test_captions_find_their_pictures_whatever_the_form_of_their_names(in_process: None, form: str) -> None:
    decomposed, composed = (unicodedata.normalize(kind, "Ångström/Bär.png") for kind in ("NFD", "NFC"))
    captions = {
        "csv": ("metadata.csv", f"file_name,text\n{composed},a bear\n"),
        "folder": (composed[:-4] + ".caption", "a bear"),
    }
    name, text = captions[form]
    dataset = make()
    found = add(dataset, ("a.zip", zipped({decomposed: drawing(1), name: text.encode()})))
    assert (found.accepted, found.captions_unused, found.remarks) == (1, 0, [])
    assert listed(dataset)[0].caption == "a bear"


def test_datasets_of_names_that_look_alike_are_one(in_process: None) -> None:
    make(unicodedata.normalize("NFC", "Café"))
    with pytest.raises(Exception, match="already"):
        make(unicodedata.normalize("NFD", "café"))


# --- archives -------------------------------------------------------------------------------------------------------


def unflagged(names: list[str], encoding: str, extra: bool = False) -> list[zipfile.ZipInfo]:
    """Entries as a program writes them that says nothing of its encoding."""
    entries = []
    for name in names:
        raw = name.encode(encoding)
        info = zipfile.ZipInfo(raw.decode("cp437"))
        if extra:
            info.orig_filename = info.filename = "?.png"
            utf8 = name.encode()
            info.extra = struct.pack("<HHBI", 0x7075, 5 + len(utf8), 1, zlib.crc32(b"?.png")) + utf8
        entries.append(info)
    return entries


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("gbk", ["照片/天安门.png", "熊猫 (2).png", "T恤.png"]),
        ("gbk", ["苹果.png"]),
        ("cp932", ["写真/富士山.png", "ソフト.png", "表.png"]),
        ("cp932", ["ねこ.png"]),
        ("cp437", ["Müller.png", "crème brûlée.png", "niño.png"]),
        ("cp437", ["Äpfel.png"]),
        ("utf-8", ["Жук.png", "고양이.png", "ñandú.png"]),
    ],
)
def test_names_without_a_flag_are_guessed(encoding: str, names: list[str]) -> None:
    assert names_of(unflagged(names, encoding)) == names


def test_a_name_that_is_kept_beside_is_believed_where_it_belongs_to_this_one() -> None:
    entries = unflagged(["狐狸.png"], "gbk", extra=True)
    assert names_of(entries) == ["狐狸.png"]
    entries[0].orig_filename = entries[0].filename = "renamed.png"
    assert names_of(entries) == ["renamed.png"]


@pytest.mark.parametrize(
    "name",
    [
        "photos/@eaDir/fox.jpg/SYNOPHOTO_THUMB_M.jpg",
        "photos/.@__thumb/default_fox.jpg",
        "#recycle/fox.png",
        "a/$RECYCLE.BIN/S-1-5/fox.png",
        "a/.thumbnails/12.jpg",
        "a/._fox.png",
        "a/ehthumbs.db",
        "~$captions.txt",
    ],
)
def test_leftovers_of_systems_and_nas_stay_out(name: str) -> None:
    assert LEFTOVERS.search(name)


@pytest.mark.parametrize("name", ["recycle/fox.png", "thumbs.png", "a.b/fox.png", "photos/eaDir/fox.png", "~fox.png"])
def test_names_that_only_resemble_leftovers_are_taken(name: str) -> None:
    assert not LEFTOVERS.search(name)


# --- what was given and not used ------------------------------------------------------------------------------------


def test_captions_without_a_file_are_named(in_process: None) -> None:
    dataset = make()
    table = b"file_name\ttext\nfox.png\ta fox\nfx.png\ta typo\n"
    found = add(dataset, ("a.zip", zipped({"fox.png": drawing(1), "captions.tsv": table, "lost/owl.txt": b"an owl"})))
    assert found.captions_unused == 2 and {remark.name for remark in found.remarks} == {"fx.png", "lost/owl.txt"}
    later = add(dataset, ("fx.png", drawing(2)), ("fx.txt", b"found at last"))
    assert later.captions_unused == 0 and not later.remarks


def test_an_import_of_nothing_says_so(in_process: None) -> None:
    found = add(make(), ("nothing.zip", zipped({"__MACOSX/._a.png": b"x", "Thumbs.db": b"y"})))
    assert not found.accepted and [remark.name for remark in found.remarks] == ["nothing.zip"]


@pytest.mark.parametrize("name", ["fox.txt", "metadata.jsonl"])
def test_a_caption_that_is_too_long_is_counted(in_process: None, name: str) -> None:
    text = "长" * 1200
    content = text if name == "fox.txt" else f'{{"file_name": "fox.png", "text": "{text}"}}'
    dataset = make()
    found = add(dataset, ("fox.png", drawing(1)), (name, content.encode()))
    assert "1200" in str(found.remarks[0].reason) and len(listed(dataset)[0].caption) == 1000


def test_captions_in_utf16_are_read() -> None:
    captions = Captions()
    captions.add("fox.txt", "红狐狸".encode("utf-16"))
    assert captions.find("fox.png") == "红狐狸"


# --- exports --------------------------------------------------------------------------------------------------------


def test_an_export_fails_where_a_file_is_gone(in_process: None) -> None:
    dataset = make()
    add(dataset, ("fox.png", drawing(1)), ("owl.png", drawing(2)))
    lost = listed(dataset)[0]
    get_storage().delete(lost.sha256)
    from app.database import session_scope

    with session_scope(writing=False) as session:
        found = service.get(session, dataset)
    with pytest.raises(Exception, match=f"The file of {lost.name} is gone"):
        service.export(found)
