"""Verse: forms that hold, places that are known before, and poems that depend on their own seed."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from app.datasets.prepared import TextItem, write_texts
from models.contract.sampling import Request, Unfit
from models.contract.values import Text
from models.data.items import Texts, open_items
from models.data.order import ByLength
from models.data.pictures import Unsuitable
from models.measure.effort import Effort
from models.parts.copies import Copies
from models.training.run import Run
from models.verse import evaluate
from models.verse.forms import EITHER, REGULATED, Form
from models.verse.learnt import Poems, Tables, batch, opening, written
from models.verse.network import VerseTransformer
from models.verse.poem import PLAIN, RHYMING, ends, lines_of, pieces_of, read_poem, slots
from models.verse.rhymes import Rhymes, cilin
from models.verse.sample import VerseSampler, load
from models.verse.spec import VerseConfig, VerseParams, VerseTraining
from models.verse.train import train
from models.verse.tunes import learn_forms
from models.verse.vocabulary import BEGIN, TITLE, UNKNOWN, Vocabulary

QUATRAIN = "白日依山盡，黃河入海流。\n欲窮千里目，更上一層樓。"
LEVELS = {"上平聲一東": "東同中風空紅", "下平聲十一尤": "流樓秋州愁遊"}
OBLIQUES = {"上聲一董": "動孔總", "入聲十四緝": "入立泣"}
SIGNS = "冬江支微魚虞齊佳灰真文元寒刪先蕭肴豪歌麻陽庚青蒸侵覃鹽咸"
SIGNS += "腫講紙尾語麌薺蟹賄軫吻阮旱潸銑篠巧皓哿馬養梗迥有寢感琰豏"
SIGNS += "送宋絳寘未御遇霽泰卦隊震問願翰諫霰嘯效號箇禡漾敬徑宥沁勘豔陷"
SIGNS += "屋沃覺質物月曷黠屑藥陌錫職合葉洽"


@cache
def rhymes() -> Rhymes:
    """Two level groups and two oblique ones with characters; of all others their sign alone."""
    rest = {f"去聲{sign}": sign for sign in SIGNS}
    return Rhymes({**LEVELS, **OBLIQUES, **rest})


COUPLET = Form("pair", "對句", (3, 3, 2, 2), (frozenset({0, 1}), frozenset({2, 3})), "。。。。")


@cache
def tables() -> Tables:
    return Tables.read(written([COUPLET]), str(rhymes()))


@cache
def vocabulary() -> Vocabulary:
    known = "".join(rhymes().groups.values()) + "白日依山盡黃河海欲窮千里目更上一層春夏夜"
    return Vocabulary([*(f.title for f in REGULATED.values()), "對句"], tables().groups, list(dict.fromkeys(known)))


@cache
def sampler() -> VerseSampler:
    torch.manual_seed(0)
    shape = {"width": 32, "heads": 2, "layers": 2, "hidden": 64, "vocabulary": len(vocabulary())}
    network = VerseTransformer(VerseConfig.model_validate(shape)).eval()
    for parameter in network.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return VerseSampler(network.requires_grad_(False), vocabulary(), tables())


def poem(seed: int = 0, **params: Any) -> str:
    return poems([{"script": "traditional", **params}], [seed])[0]


def poems(wanted: list[dict[str, Any]], seeds: list[int]) -> list[str]:
    made = sampler().sample(
        [Request("text-generation", VerseParams(**each), seed) for each, seed in zip(wanted, seeds, strict=True)],
        lambda step, total, previews: None,
    )
    return [output.value.text for output in made if isinstance(output.value, Text)]


def test_regulated_verse_alternates_as_it_should() -> None:
    """By the rules themselves: couplets contrast in their second characters, and the next one takes up the last."""
    for form in REGULATED.values():
        assert len(form.patterns) == 4 and len(set(form.patterns)) == 4
        for pattern in form.patterns:
            seconds = [line[1] for line in pattern]
            assert all(a != b for a, b in zip(seconds[::2], seconds[1::2], strict=True))
            assert all(a == b for a, b in zip(seconds[1:-1:2], seconds[2::2], strict=True))
            for i, line in enumerate(pattern):
                assert line[-1] == ("p" if i % 2 else "z") or i == 0
                assert line[-3:] != "ppp" and line[-3:] != "zzz"


def test_a_poem_is_read_by_its_lines() -> None:
    read = read_poem(QUATRAIN, REGULATED.values(), rhymes())
    assert read is not None and (read.form.title, read.group, read.first_rhymes) == ("五绝", "下平聲十一尤", False)
    assert (
        read.form.written(read.characters) == QUATRAIN and read.form.written(read.characters[:7]) == "白日依山盡，黃河"
    )
    assert ends(read.form, read.characters) == ["盡", "流", "目", "樓"]
    for text in (
        "白日依山。黃河入海流。",
        "abcde,fghij.klmno,pqrst.",
        "□日依山盡，黃河入海流。欲窮千里目，更上一層樓。",
        "",
    ):
        assert read_poem(text, REGULATED.values(), rhymes()) is None


def test_every_character_knows_its_place() -> None:
    form = REGULATED["wujue"]
    found = slots(form, True, EITHER * form.length)
    assert [line for line, *_ in found] == [1] * 5 + [2] * 5 + [3] * 5 + [4] * 5
    assert [left for _, left, *_ in found] == [5, 4, 3, 2, 1] * 4
    assert [i for i, (_, _, kind, _) in enumerate(found) if kind == RHYMING] == [4, 9, 19]
    assert slots(form, False, EITHER * form.length)[4][2] == PLAIN


def test_nothing_to_come_is_seen_and_padding_changes_nothing() -> None:
    network = sampler().network
    tokens = torch.randint(5, len(vocabulary()), (2, 12), generator=torch.Generator().manual_seed(0))
    places = torch.ones(2, 12, 4, dtype=torch.long)
    base = network(tokens, places)
    changed = tokens.clone()
    changed[:, 8:] = 6
    assert torch.allclose(base[:, :8], network(changed, places)[:, :8], atol=1e-5)
    assert not torch.allclose(base[:, 8:], network(changed, places)[:, 8:])
    cache = network.decoder.empty_cache(2)
    steps = [network(tokens[:, :5], places[:, :5], cache)]
    steps += [network(tokens[:, i : i + 1], places[:, i : i + 1], cache, i) for i in range(5, 12)]
    assert torch.allclose(torch.cat(steps, 1), base, atol=1e-4)
    padded = torch.cat([torch.zeros(2, 3, dtype=torch.long), tokens], 1)
    nowhere = torch.cat([torch.zeros(2, 3, 4, dtype=torch.long), places], 1)
    found = network(padded, nowhere, padding=torch.tensor([3, 3]))[:, 3:]
    assert torch.allclose(found, base, atol=1e-4)


@pytest.mark.parametrize("form", [form.title for form in REGULATED.values()])
def test_length_rhyme_and_tones_hold_whatever_the_network_likes(form: str) -> None:
    for seed in range(6):
        made = poem(seed, form=form, tones=True)
        known = next(each for each in REGULATED.values() if each.title == form)
        assert tuple(map(len, lines_of(made))) == known.lines
        assert evaluate.rhyme(made, form, rhymes())
        last = ends(known, "".join(lines_of(made)))
        assert len({last[i] for i in known.rhymes[0]}) == len(known.rhymes[0]) or known.length > 50
        of_one = [c for c in "".join(lines_of(made)) if c in rhymes().tones]
        assert of_one and evaluate.tones(made, form, rhymes()) > 0.97


def test_a_rhyme_is_chosen_and_pairs_of_lines_rhyme_by_themselves() -> None:
    assert set(poem(3, form="五绝", rhyme="上平聲一東").replace("\n", "").split("。")[0][-1]) <= set("東同中風空紅")
    for seed in range(5):
        last = ends(COUPLET, "".join(lines_of(poem(seed, form="對句"))))
        table = cilin(rhymes())
        assert table.rhyme(last[:2]) and table.rhyme(last[2:])


def test_what_is_fixed_stands_where_it_should() -> None:
    made = lines_of(poem(1, form="七绝", acrostic="春夏秋夜"))
    assert [line[0] for line in made] == list("春夏秋夜")
    assert lines_of(poem(1, form="五绝", first_line="白日依山盡", acrostic="白黃"))[:2][0] == "白日依山盡"
    assert poem(1, form="五绝", acrostic="春", script="simplified")[0] == "春"
    assert poem(2, form="五绝", first_line="黄河入海流")[:5] == "黃河入海流", "whatever the script that it is typed in"


def test_characters_that_nobody_knows_are_kept_and_said() -> None:
    request = Request("text-generation", VerseParams(form="五绝", acrostic="龘春"), 0)
    (output,) = sampler().sample([request], lambda *_: None)
    assert isinstance(output.value, Text) and output.value.text[0] == "龘"
    assert output.remark is not None and "龘" in output.remark
    (plain,) = sampler().sample([Request("text-generation", VerseParams(form="對句", tones=True), 0)], lambda *_: None)
    assert plain.remark is not None and "no tone pattern" in plain.remark


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"form": "五绝", "first_line": "太長的一句詩"}, "has 5 characters"),
        ({"form": "五绝", "acrostic": "一二三四五"}, "has 4 lines"),
        ({"form": "五绝", "first_line": "白日依山盡", "acrostic": "春"}, "does not begin"),
        ({"theme": "字" * 501}, "500"),
        ({"theme": "a\0b"}, "NUL"),
        ({"temperature": 0}, "0.1"),
    ],
)
def test_what_cannot_be_is_refused(params: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        VerseParams(**params)


def test_what_does_not_fit_a_learnt_form_is_said() -> None:
    for params, why in (({"form": "水調歌頭"}, "does not know"), ({"form": "對句", "first_line": "一二"}, "3 char")):
        with pytest.raises(Unfit, match=why):
            poem(**params)


def test_a_poem_is_the_same_alone_and_among_others_and_another_by_another_seed() -> None:
    wanted: list[dict[str, Any]] = [
        {"form": "五绝"},
        {"form": "七律", "theme": "春夜", "tones": True},
        {"form": "對句"},
    ]
    wanted = [{"script": "traditional", **each} for each in wanted]
    together = poems(wanted, [1, 2, 3])
    assert together == [poems([each], [seed])[0] for each, seed in zip(wanted, [1, 2, 3], strict=True)]
    assert poem(1, form="五绝") != poem(2, form="五绝")


def test_it_is_told_character_by_character() -> None:
    told: list[tuple[int, int, str]] = []
    request = Request("text-generation", VerseParams(form="五绝", script="traditional"), 4)

    def on_step(step: int, total: int, previews: Any) -> None:
        (value,) = previews()
        told.append((step, total, value.text))

    (output,) = sampler().sample([request], on_step)
    assert [step for step, _, _ in told] == list(range(1, 21)) and {total for _, total, _ in told} == {20}
    assert isinstance(output.value, Text) and told[-1][2] == output.value.text
    assert all(output.value.text.startswith(text) for _, _, text in told)


def collection(folder: Path, count: int = 60) -> Texts:
    """Quatrains whose second and fourth lines rhyme, and some texts that are no poems."""
    random = np.random.default_rng(0)
    plain = [c for c in vocabulary().characters if c not in "".join(LEVELS.values())]
    items = []
    for i in range(count):
        lines = ["".join(random.choice(plain, 4)) for _ in range(4)]
        last = random.choice(list("流樓秋州愁遊"), 2, replace=False)
        text = f"{lines[0]}盡，{lines[1]}{last[0]}。\n{lines[2]}目，{lines[3]}{last[1]}。"
        items.append(TextItem(str(i), "held_out" if i % 10 == 9 else "train", "春夜", "somebody", text))
    items.append(TextItem("prose", "train", "", "", "This is no poem."))
    files = {"rhymes.json": str(rhymes())}
    write_texts(folder, items, {"name": "tiny"}, files)
    return open_items(folder)


SMALL: dict[str, Any] = {"width": 32, "heads": 2, "layers": 1, "hidden": 64}


def test_what_is_said_of_a_poem_stands_before_it_and_only_the_poem_is_learnt(tmp_path: Path) -> None:
    found = Poems(collection(tmp_path / "tiny"), tables(), 1, None, 4000)
    index = int(found.indices("train")[0])
    tokens, places, begins = found.numbers(index, np.array([0, 0, 1, 0, 0.5, 0]))
    assert tokens[:2] == [found.vocabulary.form("五绝"), TITLE] and tokens[begins - 1] == BEGIN
    assert found.vocabulary.decode(tokens[begins:]) == found.poems[index].characters
    assert len(places) == len(tokens) - 1 and set(places[: begins - 1]) == {(0, 0, 0, 0)}
    numbers, slots_of, targets = batch(found, found.indices("train")[:4], torch.Generator().manual_seed(0))
    assert numbers.shape[1] - 1 == slots_of.shape[1] == targets.shape[1]
    assert all(int((row >= 0).sum()) <= 20 for row in targets) and bool((targets >= 0).any())
    assert found.tables.groups and "prose" not in {found.titles[i] for i in found.poems}


def test_every_poem_is_seen_once_an_epoch(tmp_path: Path) -> None:
    found = Poems(collection(tmp_path / "tiny", 90), tables(), 1, None, 4000)
    indices = found.indices("train")
    order = ByLength(found.lengths, indices[:64], 8, seed=0)
    seen = np.concatenate([order.at(k) for k in range(8)])
    assert sorted(seen) == sorted(indices[:64])
    again = ByLength(found.lengths, indices[:64], 8, seed=0)
    assert np.array_equal(again.at(11), order.at(11)), "whatever was asked for before"


def test_it_learns_resumes_and_is_measured(tmp_path: Path) -> None:
    data = collection(tmp_path / "tiny")
    params = VerseTraining(network=VerseConfig(**SMALL), batch_size=8, rarest=1)

    def run(folder: str, steps: int) -> Run:
        made = Run(tmp_path / folder, steps=steps, echo=False, checkpoint_seconds=0.0)
        train(params.model_copy(deep=True), data, made)
        return made

    whole = run("whole", 60)
    losses = [value for _, value in whole.folder.curves()["loss"]]
    assert losses[-1] < 0.9 * losses[0]
    model = load(whole.folder.model, torch.device("cpu"))
    again = run("again", 60)
    other = load(again.folder.model, torch.device("cpu"))
    assert all(torch.equal(a, b) for a, b in zip(model.network.parameters(), other.network.parameters(), strict=True))
    assert whole.folder.sheets()[-1][1].suffix == ".txt" and "五绝" in whole.folder.sheets()[-1][1].read_text("utf-8")
    figures, sheet = evaluate.evaluate(whole.folder.model, data, tmp_path, Effort(54))
    assert figures["rhymes"]["held"] == 1.0 and figures["tones"] > 0.9 and sheet.startswith("五绝")
    assert 0 <= figures["copied"]["lines"] <= 1 and figures["held_out_nats_held_out"] > 0


def test_a_collection_without_poems_or_rhymes_is_refused(tmp_path: Path) -> None:
    write_texts(tmp_path / "prose", [TextItem("1", "train", "", "", "Prose.")], {"name": "prose"})
    params = VerseTraining(network=VerseConfig(**SMALL), batch_size=8)
    with pytest.raises(Unsuitable, match=r"rhymes\.json"):
        train(params, open_items(tmp_path / "prose"), Run(tmp_path / "a", steps=1, echo=False))
    files = {"rhymes.json": str(rhymes())}
    write_texts(tmp_path / "prose", [TextItem("1", "train", "", "", "Prose.")], {"name": "prose"}, files)
    with pytest.raises(Unsuitable, match="no poems"):
        train(params, open_items(tmp_path / "prose"), Run(tmp_path / "b", steps=1, echo=False))


def test_the_form_of_a_tune_is_found_in_its_poems() -> None:
    random, table = np.random.default_rng(0), cilin(rhymes())
    plain = [c for c in vocabulary().characters if not table.groups_of.get(c)]

    def sung(first: str, second: str, stray: bool) -> str:
        middle = ["".join(random.choice(plain, 2)) for _ in range(4)]
        lines = [middle[0] + first[0], middle[1] + first[1], middle[2][:1] + second[0], middle[3][:1] + second[1]]
        return f"{lines[0]}，{lines[1]}。{lines[2]}{'春' * stray}，{lines[3]}。"

    poems = [("對句", sung("東同" if i % 2 else "流樓", "動孔" if i % 3 else "州愁", i % 10 == 0)) for i in range(80)]
    (form,) = learn_forms([*poems, ("罕見", "一。" * 5)], table)
    assert (form.title, form.lines, form.stops) == ("對句", (3, 3, 2, 2), "，。，。")
    assert form.rhymes == (frozenset({0, 1}), frozenset({2, 3}))
    assert Tables.read(written([form]), str(rhymes())).forms["對句"] == form


def test_words_of_a_vocabulary_come_back() -> None:
    made = Vocabulary.read(str(vocabulary()))
    assert len(made) == len(vocabulary()) and made.encode("春龘") == [vocabulary().numbers["春"], UNKNOWN]
    assert opening(made, "五绝", "", None, "") == [made.form("五绝"), BEGIN]


def test_what_was_learnt_by_heart_is_known_again() -> None:
    pieces = list(pieces_of(QUATRAIN))
    assert pieces[:4] == ["白日依山盡", "黃河入海流", "欲窮千里目", "更上一層樓"] and len(pieces) == 4
    seven = "一二三四五六七，甲乙丙丁戊己庚。"
    assert list(pieces_of(seven)) == ["一二三四五六七", "甲乙丙丁戊己庚", "二三四五六七甲乙丙丁戊己"]
    assert list(pieces_of("一二三四，甲乙丙丁，子丑寅卯。")) == ["一二三四甲乙丙丁子丑寅卯"], "twelve in short lines"
    copies = Copies.read(Copies.of([*pieces, *(str(i) for i in range(5000))]).packed())
    assert len(copies) == 5004 and all(piece in copies for piece in pieces)
    assert sum(f"another {i}" in copies for i in range(20_000)) < 5
    assert copies.among(["黃河入海流", "nothing", "更上一層樓"], ["更上一層樓"]) == ["黃河入海流"]
    with pytest.raises(ValueError, match="broken"):
        Copies.read(b"no list")
    assert "x" not in Copies.of([])


def test_a_poem_that_is_copied_says_so() -> None:
    request = Request("text-generation", VerseParams(form="五绝", script="traditional"), 3)
    (fresh,) = sampler().sample([request], lambda *_: None)
    assert fresh.remark is None
    network, vocabulary, tables = sampler().network, sampler().vocabulary, sampler().tables
    written = "".join(lines_of(fresh.value.text)) if isinstance(fresh.value, Text) else ""
    knowing = VerseSampler(network, vocabulary, tables, Copies.of([written[5:10]]))
    (known,) = knowing.sample([request], lambda *_: None)
    assert known.value == fresh.value and known.remark is not None and written[5:10] in str(known.remark)
    asked = Request("text-generation", VerseParams(form="五绝", first_line=written[:5]), 3)
    (output,) = VerseSampler(network, vocabulary, tables, Copies.of([written[:5]])).sample([asked], lambda *_: None)
    assert output.remark is None, "what was asked for is no copy"
