"""Which pictures of a collection have the same content, and which the same style: the supervision of mixing."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt
import torch

from models.data import Collection, Unsuitable

# How often content, and style, come from another picture than the wanted one: early, it learns to draw as well.
OTHER_CONTENT, OTHER_STYLE = 0.7, 0.8
# Late only to translate: what the wanted picture says of itself would be more than its style.
LATE_OTHER_CONTENT, LATE_OTHER_STYLE = 0.9, 1.0


class Pairs:
    """Pictures of these items that share a concept or a style.

    Recoloured ones have the content of no other. Raises Unsuitable where no concept is drawn in two styles.
    """

    def __init__(self, data: Collection, indices: npt.NDArray[np.int64]) -> None:
        self.concept_of = {int(i): concept(data.items[i]) for i in indices}
        self.style_of = {int(i): data.items[i]["style"] for i in indices}
        self.of_concept: dict[str, list[int]] = defaultdict(list)
        self.of_style: dict[str, list[int]] = defaultdict(list)
        for i in self.concept_of:
            self.of_concept[self.concept_of[i]].append(i)
            self.of_style[self.style_of[i]].append(i)
        if not any(len({self.style_of[i] for i in same}) > 1 for same in self.of_concept.values()):
            raise Unsuitable("nothing in this collection is drawn in two styles: put each style in a folder of its own")

    def partners(
        self, wanted: npt.NDArray[np.int64], random: torch.Generator, late: bool = False
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """For each wanted picture one with its content and one with its style; at times the wanted one itself.

        `late`: that seldom or never, and content from another style wherever there is one.
        """
        chances = (LATE_OTHER_CONTENT, LATE_OTHER_STYLE) if late else (OTHER_CONTENT, OTHER_STYLE)
        draws = torch.rand(len(wanted), 4, generator=random).tolist()
        contents, styles = [], []
        for i, (takes_content, place, takes_style, where) in zip(wanted.tolist(), draws, strict=True):
            same_content, same_style = self.of_concept[self.concept_of[i]], self.of_style[self.style_of[i]]
            if late:
                same_content = [j for j in same_content if self.style_of[j] != self.style_of[i]] or [i]
            contents.append(same_content[int(place * len(same_content))] if takes_content < chances[0] else i)
            styles.append(same_style[int(where * len(same_style))] if takes_style < chances[1] else i)
        return np.array(contents), np.array(styles)


def concept(item: dict[str, object]) -> str:
    return str(item["id"] if item["recoloured"] else item["concept"])
