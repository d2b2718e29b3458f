"""Datasets: what an upload may hold, captions from everywhere, refusals with reasons, and export."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pydantic import ValidationError

from app.database import session_scope
from app.datasets import archive, service
from app.datasets.captions import Captions, from_name, tags_of
from app.datasets.imports import add_files
from app.datasets.schemas import DatasetIn, ItemChange, ItemSelection
from app.errors import Conflict, Invalid, NotFound
from app.media.looks import fingerprint, palette
from app.settings import get_settings
from app.storage import get_storage
from app.upkeep.garbage import collect_garbage, collect_leftovers
from app.upkeep.turns import Turn
from app.zips import Limits


def drawing(number: int, mode: str = "RGB", form: str = "PNG", size: int = 48) -> bytes:
    """A picture that differs clearly from every other number's."""
    draw = np.random.default_rng(number)
    picture = Image.new("RGB", (size, size), tuple(draw.integers(0, 256, 3).tolist()))
    pen = ImageDraw.Draw(picture)
    for _ in range(4):
        x, y, w, h = (draw.random(4) * size * 0.7).tolist()
        pen.rectangle((x, y, x + w, y + h), fill=tuple(draw.integers(0, 256, 3).tolist()))
    buffer = io.BytesIO()
    picture.convert(mode).save(buffer, form)
    return buffer.getvalue()


def zipped(entries: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda info: None) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            change(info)
            made.writestr(info, content)
    return buffer


def drawn(number: int, size: int) -> bytes:
    """One drawing in several sizes, which look alike."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(drawing(number, size=128))).resize((size, size), Image.Resampling.BOX).save(buffer, "PNG")
    return buffer.getvalue()


def make(name: str = "kites") -> str:
    with session_scope() as session:
        return service.create(session, None, DatasetIn(name=name)).id


def add(dataset: str, *files: tuple[str, bytes | io.BytesIO]) -> Any:
    return add_files(
        dataset,
        [(name, content if isinstance(content, io.BytesIO) else io.BytesIO(content)) for name, content in files],
    )


def listed(dataset: str, state: Any = None) -> list[Any]:
    with session_scope(writing=False) as session:
        return service.items(session, dataset, state, None, None, 100)[0]


@pytest.mark.usefixtures("in_process")
def test_what_was_never_finished_is_deleted_after_a_day() -> None:
    data = get_settings().data
    for place in ("checkpoints/.writing-a", "prepared/.writing-b", ".writing-c", "datasets/.writing-young"):
        (data / place).mkdir(parents=True)
        (data / place / "images.npy").write_bytes(b"x")
        for path in (data / place / "images.npy", data / place):
            os.utime(path, (0, 0))
    (data / "datasets" / ".writing-young" / "images.npy").touch()
    (data / "checkpoints" / "whole").mkdir()
    os.utime(data / "checkpoints" / "whole", (0, 0))
    assert collect_leftovers() == 3
    assert (data / "datasets" / ".writing-young").exists() and (data / "checkpoints" / "whole").exists()


# --- captions -------------------------------------------------------------------------------------------------------


def test_tags_are_what_a_caption_lists_between_commas() -> None:
    assert tags_of("1girl,  red hair ,smile, red hair,") == ["1girl", "red hair", "smile"]
    assert tags_of("红头发，微笑、戴帽子") == ["红头发", "微笑", "戴帽子"]
    assert tags_of("Smiling") == ["smiling"]
    assert tags_of("") == tags_of("a long sentence that describes all there is to be seen in one picture") == []


def test_a_column_of_tags_is_a_caption() -> None:
    captions = Captions()
    rows = [{"file_name": "a.png", "tags": ["red hair", "smile"]}, {"file_name": "b.png", "tags": "hat"}]
    captions.add("metadata.jsonl", "\n".join(map(json.dumps, rows)).encode())
    assert (captions.find("a.png"), captions.find("b.png")) == ("red hair, smile", "hat")
    with pytest.raises(Invalid):
        Captions().add("metadata.jsonl", b'{"file_name": "a.png", "tags": [1, 2]}')


def test_a_row_that_says_nothing_spoils_no_other() -> None:
    captions = Captions()
    captions.add("metadata.jsonl", b'{"file_name": "a.png", "text": "a kite"}\n{"file_name": "b.png"}\n{"note": 1}')
    assert (captions.find("a.png"), captions.find("b.png")) == ("a kite", None)
    with pytest.raises(Invalid, match="need a file_name and a text"):
        Captions().add("metadata.csv", b"file_name\na.png\n")


def test_captions_are_found_by_side_car_table_and_json_lines() -> None:
    captions = Captions()
    captions.add("a/fox.txt", b"  a red\nfox\x00 ")
    captions.add("b/metadata.jsonl", '{"file_name": "Cat.png", "text": "一只猫"}\n'.encode())
    captions.add("excel.csv", b"\xef\xbb\xbffile_name;text\r\ne.png;a kite, red\r\n")
    assert captions.find("e.png") == "a kite, red"
    captions.add("list.csv", b'\xef\xbb\xbffile_name,text\nc/dog.jpg,"a dog, asleep"\n')
    assert captions.find("a/Fox.PNG") == "a red fox"
    assert captions.find("b/cat.png") == "一只猫"
    assert captions.find("c/dog.jpg") == "a dog, asleep"
    assert captions.find("fox.png") is None and captions and not captions.unused()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"\xff\xfe\x00"),
        ("m.jsonl", b"{"),
        ("m.jsonl", b"[1]"),
        ("m.jsonl", b'{"file_name": 3}'),
        ("m.csv", b"x,y\n1,2\n"),
    ],
)
def test_a_caption_file_that_is_not_one_says_so(name: str, content: bytes) -> None:
    with pytest.raises(Invalid):
        Captions().add(name, content)


def test_file_names_speak_when_they_say_something() -> None:
    assert from_name("red_fox-01.png") == "red fox"
    assert from_name("foxes/IMG_1234.JPG") == "foxes"
    assert from_name("0a3f9c2b77.png") == "" and from_name("DSC0001.jpg") == ""
    assert from_name("水墨/山水_2.png") == "山水"


# --- archives -------------------------------------------------------------------------------------------------------


def names_and_refusals(file: io.BytesIO, **limits: int) -> list[tuple[str, str | None]]:
    with archive.opened("x.zip", file, Limits(**limits)) as found:
        return [(source.name, source.refusal) for source in found()]


def test_entries_that_lead_out_links_and_repeated_names_are_refused() -> None:
    def link(info: zipfile.ZipInfo) -> None:
        if info.filename == "link.png":
            info.external_attr = (stat.S_IFLNK | 0o777) << 16

    kept = {"A.png": b"1", "ok/b.png": b"3"}
    left_out = {"__MACOSX/._a.png": b"", ".DS_Store": b""}
    bad = {"../../up.png": b"1", "/root.png": b"1", "C:\\x.png": b"1", "link.png": b"/etc/passwd", "a.png": b"2"}
    found = dict(names_and_refusals(zipped({**kept, **left_out, **bad}, link)))
    assert {name for name, refusal in found.items() if refusal is None} == {"A.png", "ok/b.png"}
    assert found["link.png"] == "It is a link" and found["a.png"] and "__MACOSX/._a.png" not in found
    assert found["../../up.png"] == found["/root.png"] == found["C:/x.png"] == "Its path leads out of the archive"


def test_bombs_are_refused_before_anything_is_unpacked() -> None:
    with pytest.raises(Invalid, match="times its size"):
        names_and_refusals(zipped({f"{i}.png": bytes(4 << 20) for i in range(8)}))
    with pytest.raises(Invalid, match="too many entries"):
        names_and_refusals(zipped({f"{i}.png": b"" for i in range(20)}), entries=10)
    with pytest.raises(Invalid, match="unpack to more than"):
        names_and_refusals(zipped({"a.png": drawing(1, size=400)}), expanded_bytes=100)


def test_an_archive_that_lies_about_its_directory_is_refused() -> None:
    whole = zipped({"a.png": drawing(1)}).getvalue()
    for broken in (whole[:-30], whole[: len(whole) // 2], b"PK\x03\x04" + bytes(40), b"PK\x05\x06"):
        with pytest.raises(Invalid, match="broken or cut off"):
            names_and_refusals(io.BytesIO(broken))
    end = whole.rfind(b"PK\x05\x06")
    lying = whole[: end + 10] + struct.pack("<HI", 1, 1 << 30) + whole[end + 16 :]
    with pytest.raises(Invalid, match="too many entries"):
        names_and_refusals(io.BytesIO(lying))


def test_packing_that_unpacks_without_a_bound_is_refused_unread() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as writing:
        writing.writestr("bomb.png", bytes(1 << 20), zipfile.ZIP_BZIP2)
        writing.writestr("lzma.png", bytes(1 << 10), zipfile.ZIP_LZMA)
        writing.writestr("fine.png", drawing(1), zipfile.ZIP_DEFLATED)
    found = dict(names_and_refusals(made, ratio=100_000))
    assert found["fine.png"] is None and "ordinary zip" in (found["bomb.png"] or "") and found["lzma.png"]


def test_the_64_bit_numbers_of_an_archive_are_the_ones_that_count() -> None:
    whole = zipped({"a.png": drawing(1)}).getvalue()
    end = whole.rfind(b"PK\x05\x06")
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 300, 300, 1 << 30, 0)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, 0, 1)  # leads to a decoy
    with pytest.raises(Invalid, match="too many entries"):
        names_and_refusals(io.BytesIO(whole[:end] + record + locator + whole[end:]), entries=100)


# --- looks ----------------------------------------------------------------------------------------------------------


def test_copies_share_a_fingerprint_and_others_do_not() -> None:
    found = 0
    for number in range(60):
        picture = Image.open(io.BytesIO(drawing(number, size=96)))
        squeezed = io.BytesIO()
        picture.resize((64, 64)).save(squeezed, "JPEG", quality=85)
        found += fingerprint(picture)[0] == fingerprint(Image.open(squeezed))[0]
    assert found >= 30, found
    assert len({fingerprint(Image.open(io.BytesIO(drawing(n))))[0] for n in range(200)}) >= 198


# --- the service on both databases ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_process")
def test_a_zip_becomes_captioned_pictures_and_reasons() -> None:
    dataset = make()
    result = add(
        dataset,
        (
            "all.zip",
            zipped(
                {
                    "a/fox.png": drawing(1),
                    "a/fox.txt": b"a red fox",
                    "blue_kite.jpg": drawing(2, form="JPEG"),
                    "grey.png": drawing(3, mode="L"),
                    "cmyk.jpg": drawing(4, mode="CMYK", form="JPEG"),
                    "cut.png": drawing(5)[:120],
                    "page.png": b"<html>",
                    "empty.png": b"",
                    "again.png": drawing(1),
                    "inner.zip": zipped({"x.png": drawing(6)}).getvalue(),
                    "metadata.jsonl": b"not json",
                }
            ),
        ),
    )
    assert (result.accepted, result.repeated, result.refused) == (4, 1, 5)
    assert [(each.name, each.reason) for each in result.repeats] == [("again.png", "It is already there, as a/fox.png")]
    assert {item.name: item.caption for item in listed(dataset)} == {
        "a/fox.png": "a red fox",
        "blue_kite.jpg": "blue kite",
        "grey.png": "grey",
        "cmyk.jpg": "cmyk",
    }
    refused = {item.name: item.refusal for item in listed(dataset, "refused")}
    assert set(refused) == {"cut.png", "page.png", "empty.png", "inner.zip", "metadata.jsonl"} and all(refused.values())


@pytest.mark.usefixtures("in_process")
def test_of_what_moves_the_first_frame_is_kept_and_the_sender_is_told() -> None:
    first, second = (Image.open(io.BytesIO(drawing(i))) for i in range(2))
    files = [("still.png", drawing(9)), ("photograph.jpg", drawing(8, form="JPEG"))]
    for form in ("GIF", "WEBP", "PNG"):
        buffer = io.BytesIO()
        first.save(buffer, form, save_all=True, append_images=[second], lossless=True)
        files.append((f"moves.{form.lower()}", buffer.getvalue()))
    result = add(make(), *files)
    assert (result.accepted, result.repeated, result.refused) == (3, 2, 0), "the frames of the three are the same"
    assert [each.name for each in result.remarks] == ["moves.gif"] and "first frame" in result.remarks[0].reason


@pytest.mark.usefixtures("in_process")
def test_the_same_upload_again_changes_nothing() -> None:
    dataset = make()
    files = [(f"{i}.png", drawing(i)) for i in range(40)] + [("broken.png", b"x")]
    first, second = add(dataset, *files), add(dataset, *files)
    assert (first.accepted, second.accepted, second.repeated) == (40, 0, 40)
    assert second.repeats == [], "what was sent twice is no news"
    assert len(listed(dataset)) == 40 and len(listed(dataset, "refused")) == 1


@pytest.mark.usefixtures("in_process")
def test_odd_file_names_are_labels_and_nothing_else() -> None:
    dataset = make()
    hidden = [".", "..", "\ud800.png"]  # without its surrogate a name that starts with a dot
    names = ["/", "", "a\x00b.png", "x" * 3000, "C:\\dir\\kite.png", "../../etc/passwd", "\r\nSet-Cookie: a"]
    files = [(name, drawing(i)) for i, name in enumerate(hidden + names)]
    assert add(dataset, *files, (".txt", b"x"), ("/.jsonl", b"{}")).accepted == len(names)
    kept = [item.name for item in listed(dataset)]
    assert all(name and len(name) <= archive.MAX_NAME and name.isprintable() for name in kept), kept


@pytest.mark.usefixtures("in_process")
def test_two_uploads_at_once_keep_each_picture_once() -> None:
    dataset = make()
    files = [(f"{i}.png", drawing(i)) for i in range(64)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: add(dataset, *files), range(4)))
    assert sum(result.accepted for result in results) == 64 == len(listed(dataset))


@pytest.mark.usefixtures("in_process")
def test_captions_may_follow_their_pictures() -> None:
    dataset = make()
    add(dataset, ("x/0001.png", drawing(1)), ("x/0002.png", drawing(2)))
    assert (
        add(
            dataset, ("x/0001.txt", b"a heron"), ("x/metadata.jsonl", b'{"file_name": "0002.png", "text": "a crane"}')
        ).captions
        == 2
    )
    assert [item.caption for item in listed(dataset)] == ["a heron", "a crane"]


@pytest.mark.usefixtures("in_process")
def test_captions_never_cross_archives_nor_replace_what_was_written() -> None:
    dataset = make()
    first = zipped({"1.png": drawing(1), "1.txt": b"a red kite", "README.txt": b"hello"})
    second = zipped({"1.png": drawing(2), "1.txt": b"a blue boat"})
    add(dataset, ("a.zip", first), ("b.zip", second), ("heron.png", drawing(3)))
    assert [item.caption for item in listed(dataset)] == ["a red kite", "a blue boat", "heron"]
    with session_scope() as session:
        red = service.item(session, dataset, listed(dataset)[0].id, lock=True)
        service.change_item(red, ItemChange(caption="by\u2028hand"))
    add(dataset, ("a.zip", first), ("heron.png", drawing(3)), ("heron.txt", b"a grey heron"))
    assert [item.caption for item in listed(dataset)] == ["by hand", "a blue boat", "a grey heron"]


@pytest.mark.usefixtures("in_process")
def test_a_broken_archive_among_others_is_refused_by_its_name() -> None:
    dataset = make()
    result = add(dataset, ("a.png", drawing(1)), ("bad.zip", b"PK\x03\x04" + bytes(40)), ("folder/.DS_Store", b"x"))
    assert (result.accepted, result.refused, result.refusals[0].name) == (1, 1, "bad.zip")


@pytest.mark.usefixtures("in_process")
def test_many_captions_are_changed_at_once_or_none_of_them() -> None:
    dataset, other = make(), make("others")
    add(dataset, *((f"red kite {i}.png", drawing(i)) for i in range(4)), ("no picture.png", b"x"))
    add(other, ("blue kite.png", drawing(9)))
    ids, foreign = [item.id for item in listed(dataset)], listed(other)[0].id
    refused = listed(dataset, "refused")[0].id

    def act(action: str, text: str = "", find: str = "", *named: str) -> tuple[int, list[str]]:
        wanted = ItemSelection.model_validate({"ids": named or ids, "action": action, "text": text, "find": find})
        with session_scope() as session:
            done = service.change_items(session, service.get(session, dataset, lock=True), wanted)
        return done.changed, done.missing

    def captions() -> list[str]:
        return [item.caption for item in listed(dataset)]

    assert act("append", ", flat style", "", ids[0], foreign, refused) == (1, [foreign, refused])
    assert captions() == ["red kite, flat style", "red kite", "red kite", "red kite"]
    assert act("replace", "blue", "red") == (4, []) and act("replace", "blue", "red") == (0, [])
    assert act("prepend", "a ", "", ids[1]) == (1, []) and captions()[1] == "a blue kite"
    with pytest.raises(Invalid, match="1000"):
        act("append", "x" * 995)
    assert captions()[3] == "blue kite", "one would be too long: nothing was changed"
    assert act("caption", "风筝", "", *ids[2:]) == (2, []) and captions()[2:] == ["风筝", "风筝"]
    assert act("delete", "", "", *ids[:3]) == (3, []) and captions() == ["风筝"]
    for empty in ({"action": "replace", "text": "x"}, {"action": "append"}):
        with pytest.raises(ValidationError):
            ItemSelection.model_validate({"ids": ids, **empty})


def test_a_palette_has_the_colours_that_are_drawn_and_not_the_paper() -> None:
    def square(colour: tuple[int, int, int], paper: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
        picture = Image.new("RGB", (128, 128), paper)
        picture.paste(colour, (32, 32, 96, 96))
        return picture

    red, blue = (200, 30, 20), (20, 60, 210)
    found = palette([square(red), square(red, (10, 10, 12)), square(blue)], 12)
    assert found == [("c81e14", 2), ("143cd2", 1)]
    assert palette([Image.new("RGB", (9, 9), red)], 12) == [], "nothing is drawn on it"


@pytest.mark.usefixtures("in_process")
def test_when_the_first_of_some_look_alikes_is_deleted_the_next_takes_its_place() -> None:
    dataset = make()
    add(dataset, *((f"{size}.png", drawn(7, size)) for size in (128, 64, 32)))
    first, second, third = listed(dataset)
    assert (second.similar_to, third.similar_to) == (first.id, first.id)
    with session_scope() as session:
        service.remove_item(session, service.item(session, dataset, first.id, lock=True))
    second, third = listed(dataset)
    assert (second.similar_to, third.similar_to) == (None, second.id)


@pytest.mark.usefixtures("in_process")
def test_what_looks_alike_comes_together_page_by_page() -> None:
    dataset = make()
    add(dataset, *((f"{seed}-{size}.png", drawn(seed, size)) for size in (128, 64, 32) for seed in (7, 8)))
    add(dataset, ("alone.png", drawing(9)))
    shown, after = [], None
    with session_scope(writing=False) as session:
        while not shown or after:
            items, after = service.items(session, dataset, "similar", None, after, 1)
            shown += [item.name for item in items]
    assert shown == ["7-128.png", "7-64.png", "7-32.png", "8-128.png", "8-64.png", "8-32.png"]


@pytest.mark.usefixtures("in_process")
def test_a_copy_is_flagged_and_a_caption_changes_the_version() -> None:
    dataset = make()
    add(dataset, ("kite.png", drawn(7, 128)), ("small.png", drawn(7, 64)), ("other.png", drawing(8)))
    first, copy, other = listed(dataset)
    assert copy.similar_to == first.id and first.similar_to is None and other.similar_to is None
    with session_scope() as session:
        before = service.version(session, dataset)
        service.change_item(service.item(session, dataset, first.id), ItemChange(caption="kites over Weifang"))
        session.flush()
        assert service.version(session, dataset) != before
        found = service.statistics(session, service.get(session, dataset))
    assert (found.accepted, found.similar, found.captioned, found.smallest, found.largest) == (3, 1, 3, 48, 128)
    assert ("weifang", 1) in found.words


@pytest.mark.usefixtures("in_process")
def test_an_export_is_an_import() -> None:
    dataset, second = make("kites"), make("kites again")
    add(dataset, *((f"kite number {i}.png", drawing(i)) for i in range(5)))
    with session_scope(writing=False) as session:
        found = service.get(session, dataset)
    content = b"".join(service.export(found))
    with zipfile.ZipFile(io.BytesIO(content)) as made:
        assert made.testzip() is None
        assert json.loads(made.read("dataset.json"))["name"] == "kites"
    add(second, ("export.zip", io.BytesIO(content)))
    with session_scope(writing=False) as session:
        assert service.version(session, dataset) == service.version(session, second)


@pytest.mark.usefixtures("in_process")
def test_files_of_a_dataset_live_as_long_as_it_does() -> None:
    dataset = make()
    add(dataset, ("a.png", drawing(1)))
    digest = listed(dataset)[0].sha256
    assert collect_garbage(Turn(""), 0) == 0 and get_storage().age(digest) is not None
    with session_scope() as session:
        service.remove(session, service.get(session, dataset))
    assert collect_garbage(Turn(""), 0) == 1 and get_storage().age(digest) is None


@pytest.mark.usefixtures("in_process")
def test_names_are_taken_once_and_a_missing_dataset_takes_nothing() -> None:
    dataset = make("Kites")
    with pytest.raises(Conflict):
        make("kiTES")
    with session_scope() as session:
        service.remove(session, service.get(session, dataset))
    with pytest.raises(NotFound):
        add(dataset, ("a.png", drawing(1)))
