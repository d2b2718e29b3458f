"""The language model: any text, no look ahead, long texts, scenes, and texts that depend on their own seed."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from app.datasets.prepared import TextItem, write_texts
from models.contract.sampling import Request
from models.contract.values import Text
from models.contract.writing import is_name
from models.data.items import Texts, open_items
from models.data.pictures import Unsuitable
from models.language import drama, evaluate
from models.language.network import LanguageModel
from models.language.sample import LanguageSampler, load
from models.language.spec import ContinuationParams, DramaParams, LanguageConfig, LanguageTraining, tasks_of
from models.language.tokens import Lines, train_tokenizer
from models.language.train import bits_a_character, train
from models.measure.effort import Effort
from models.training.run import Run, Stopped
from tests.support.interrupted import StopsAt13

PLAY = """# A Play

## ACT I

_Enter FOOL and KING_

**FOOL**
Who's there?

**KING**
A _king_, and cold.
He is gone.

**FOOL**
Nuncle, give me an egg.
"""
SMALL: dict[str, Any] = {"width": 32, "heads": 2, "layers": 2, "hidden": 64, "length": 32}


def speeches(text: str) -> int:
    """How many have begun."""
    parts = text.split("\n\n")
    return sum(is_name(part.split("\n", 1)[0]) and "\n" in part for part in parts)


@cache
def sampler(kind: str = "plain") -> LanguageSampler:
    torch.manual_seed(0)
    tokenizer = train_tokenizer([drama.plain(PLAY), "春江花月夜 the end"] * 3, 400)
    config = LanguageConfig.model_validate({**SMALL, "vocabulary": tokenizer.get_vocab_size()})
    network = LanguageModel(config).eval()
    for parameter in network.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return LanguageSampler(network.requires_grad_(False), tokenizer, kind)


def texts(wanted: list[Any], seeds: list[int], kind: str = "plain") -> list[str]:
    requests = [Request("text-generation", params, seed) for params, seed in zip(wanted, seeds, strict=True)]
    return [o.value.text for o in sampler(kind).sample(requests, lambda *_: None) if isinstance(o.value, Text)]


def test_a_play_is_read_as_names_and_what_they_say() -> None:
    made = drama.plain(PLAY)
    assert made.split("\n\n")[2:] == [
        "[Enter FOOL and KING]",
        "FOOL\nWho's there?",
        "KING\nA king, and cold.\nHe is gone.",
        "FOOL\nNuncle, give me an egg.\n",
    ]
    assert speeches(made) == 3 and drama.speech("fool ", " Why? ") == "FOOL\nWhy?"
    assert is_name("KING HENRY") and not is_name("He is gone.") and not is_name("...")


def test_nothing_to_come_is_seen_and_the_cache_knows_the_same() -> None:
    network = sampler().network
    tokens = torch.randint(1, 256, (2, 20), generator=torch.Generator().manual_seed(0))
    base, changed = network(tokens), tokens.clone()
    changed[:, 12:] = 7
    assert torch.allclose(base[:, :12], network(changed)[:, :12], atol=1e-5)
    assert not torch.allclose(base[:, 12:], network(changed)[:, 12:])
    kept = network.decoder.empty_cache(2)
    steps = [network(tokens[:, :9], kept)] + [network(tokens[:, i : i + 1], kept, i) for i in range(9, 20)]
    assert torch.allclose(torch.cat(steps, 1), base, atol=1e-4)


def test_a_text_is_the_same_alone_and_among_others_however_long() -> None:
    wanted = [
        ContinuationParams(opening="Who's there?", tokens=60),
        ContinuationParams(tokens=20),
        ContinuationParams(opening="Who's there?", tokens=40, temperature=1.5),
    ]
    together = texts(wanted, [1, 2, 3])
    assert together == [texts([each], [seed])[0] for each, seed in zip(wanted, [1, 2, 3], strict=True)]
    assert together[0].startswith("Who's there?") and together[0] != texts([wanted[0]], [2])[0]
    assert texts([ContinuationParams(opening="春江花月夜", tokens=8)], [0])[0].startswith("春江花月夜")


def test_what_it_cannot_see_of_an_opening_is_said() -> None:
    request = Request("text-generation", ContinuationParams(opening="egg " * 200, tokens=8), 0)
    (output,) = sampler().sample([request], lambda *_: None)
    assert output.remark is not None and "read the last 16" in output.remark
    assert isinstance(output.value, Text) and output.value.text.startswith("egg egg")


def test_progress_ends_where_all_texts_do_and_previews_grow() -> None:
    told: list[tuple[int, int, list[str]]] = []

    def on_step(step: int, total: int, previews: Any) -> None:
        told.append((step, total, [value.text for value in previews()]))

    wanted = [ContinuationParams(tokens=12), ContinuationParams(opening="Nuncle, give me", tokens=10)]
    made = sampler().sample([Request("text-generation", params, 3) for params in wanted], on_step)
    steps = [step for step, _, _ in told]
    assert steps == sorted(steps) and told[-1][0] == told[-1][1] == 22
    assert told[-1][2] == [o.value.text for o in made if isinstance(o.value, Text)]


def test_a_scene_begins_as_asked_and_ends_after_so_many_speeches() -> None:
    (made,) = texts([DramaParams(speaker="fool", opening="Who's there?", speeches=2)], [0], "drama")
    assert made.startswith("FOOL\nWho's there?")
    work = sampler("drama").work(Request("text-generation", DramaParams(speeches=2), 0))
    work.given = [0, *work.tokenizer.encode(drama.plain(PLAY).split("\n\n", 3)[3]).ids]
    assert work.is_over(work.text_so_far) and speeches(work.text() + "\n") == 2


def test_a_stage_direction_is_no_speech() -> None:
    scene = "FOOL\nWhy?\n\n[EXIT.]\n\n[Thunder.]\n\nKING\nNo."
    assert drama.until(scene, 2) == scene == drama.until(scene + "\n\nFOO", 2)[: len(scene)]
    assert drama.until(scene + "\n\nFOOL\nA", 2) == scene and drama.until(scene, 1) == scene.split("\n\nKING")[0]


def test_whoever_is_named_says_something() -> None:
    found = sampler("drama")
    work = found.work(Request("text-generation", DramaParams(speaker="fool"), 0))
    silent = torch.zeros(1, found.tokenizer.get_vocab_size())
    silent[0, [0, *found.tokenizer.encode("\n\n").ids]] = 9.0  # it would rather end, or pass over to another
    token = int(found.choose(silent, [work], torch.zeros(1, 256)))
    assert found.tokenizer.decode([token]).strip("\n") and not work.is_named
    said = found.work(Request("text-generation", DramaParams(speaker="fool", opening="Why?"), 0))
    assert not said.is_named and drama.ends_with_name("FOOL\n") and not drama.ends_with_name("Why?\n\n")


def test_only_those_answer_who_may() -> None:
    work = sampler("drama").work(Request("text-generation", DramaParams(speaker="fool", others="king, Clown"), 5))
    for token in work.tokenizer.encode("Why?\n\n").ids:
        work.take(token)
    assert work.tokenizer.decode(work.cue) in ("KING\n", "CLOWN\n")
    while work.cue:
        work.take(work.cue.pop(0))
    assert work.text_so_far.split("\n\n")[1] in ("KING\n", "CLOWN\n")
    found = {work.who_answers("FOOL\nWhy?\n\n" + "\n\n" * i) for i in range(20)}
    assert found == {"KING", "CLOWN"}, "and not who has just spoken"


def test_a_checkpoint_of_plays_offers_scenes_and_another_one_texts() -> None:
    assert tasks_of({"kind": "drama"})[0].params is DramaParams
    assert tasks_of({})[0].params is ContinuationParams
    for params, why in (({"tokens": 0}, "8"), ({"opening": "\0"}, "NUL"), ({"opening": "x" * 4001}, "4000")):
        with pytest.raises(ValidationError, match=why):
            ContinuationParams.model_validate(params)


def collection(folder: Path) -> Texts:
    random = np.random.default_rng(0)
    words = ["egg", "king", "fool", "cold", "night", "the", "a", "gone"]
    items = [
        TextItem(str(i), "held_out" if i % 5 == 4 else "train", "", "", " ".join(random.choice(words, 80)))
        for i in range(15)
    ]
    write_texts(folder, items, {"name": "tiny"})
    return open_items(folder)


def test_it_learns_resumes_with_its_dropout_and_is_measured(tmp_path: Path) -> None:
    data = collection(tmp_path / "tiny")
    config = LanguageConfig.model_validate({**SMALL, "vocabulary": 320})
    params = LanguageTraining(network=config, batch_size=4, dropout=0.1)

    def run(folder: str, kind: type[Run] = Run) -> Run:
        made = kind(tmp_path / folder, steps=40, echo=False, checkpoint_seconds=0.0)
        train(params.model_copy(deep=True), data, made)
        return made

    with pytest.raises(Stopped):
        run("again", StopsAt13)
    whole, again = run("whole"), run("again")
    losses = [value for _, value in whole.folder.curves()["loss"]]
    assert losses[-1] < 0.9 * losses[0]
    ours, theirs = (load(each.folder.model, torch.device("cpu")).network for each in (whole, again))
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    figures, sheet = evaluate.evaluate(whole.folder.model, data, tmp_path, Effort(12))
    assert figures == {} and sheet, "too few to say anything"
    figures, _ = evaluate.evaluate(whole.folder.model, data, tmp_path, Effort(16, 2.0))
    assert figures["held_out_bits_held_out"] > 0 and figures["longest_copied_run"]["most"] > 0


def test_bits_do_not_depend_on_the_tokens(tmp_path: Path) -> None:
    """A network that knows nothing pays the logarithm of its vocabulary for a token."""
    data = collection(tmp_path / "tiny")
    for size in (300, 340):
        tokenizer = train_tokenizer((item["text"] for item in data.items), size)
        config = LanguageConfig.model_validate({**SMALL, "vocabulary": tokenizer.get_vocab_size()})
        network = LanguageModel(config).eval()
        torch.nn.init.zeros_(network.embedding.weight)
        lines = Lines(data, "held_out", "plain", tokenizer, tmp_path / str(size), 32)
        bits = np.log2(config.vocabulary) * len(lines.tokens) / lines.characters
        assert bits_a_character(network, lines) == pytest.approx(bits, rel=1e-3)


def test_texts_that_are_too_short_are_refused(tmp_path: Path) -> None:
    write_texts(tmp_path / "short", [TextItem("1", "train", "", "", "")], {"name": "short"})
    params = LanguageTraining(network=LanguageConfig.model_validate(SMALL), batch_size=2)
    with pytest.raises(Unsuitable, match="too short"):
        train(params, open_items(tmp_path / "short"), Run(tmp_path / "run", steps=1, echo=False))


def test_the_longest_run_is_found() -> None:
    assert evaluate.longest_run("the cold king laughed", "a cold king slept") == len(" cold king ")
    assert evaluate.longest_run("xyz", "abc") == 0
