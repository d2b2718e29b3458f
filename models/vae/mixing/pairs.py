"""Which pictures of a collection have the same content, and which the same style: the supervision of mixing."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch

from models.data.pictures import Collection, Indices, Unsuitable

OTHER_CONTENT = (
    0.8  # how often content comes from another style; else from the wanted picture: it learns to draw as well
)


class Pairs:
    """Pictures of these items that share a concept or a style.

    Recoloured ones have the content of no other. Raises Unsuitable where no concept is drawn in two styles.
    """

    def __init__(self, data: Collection, indices: Indices) -> None:
        self.concept_of = {int(i): concept(data.items[i]) for i in indices}
        self.style_of = {int(i): data.items[i]["style"] for i in indices}
        self.of_concept: dict[str, list[int]] = defaultdict(list)
        self.of_style: dict[str, list[int]] = defaultdict(list)
        for i in self.concept_of:
            self.of_concept[self.concept_of[i]].append(i)
            self.of_style[self.style_of[i]].append(i)
        if not any(len({self.style_of[i] for i in same}) > 1 for same in self.of_concept.values()):
            raise Unsuitable("nothing in this collection is drawn in two styles: put each style in a folder of its own")

    def partners(self, wanted: Indices, random: torch.Generator) -> tuple[Indices, Indices]:
        """For each wanted picture one with its content, of another style or at times itself, and one with its style.

        The style is never its own, where there is another: what a picture says of itself is more than its style.
        """
        draws = torch.rand(len(wanted), 3, generator=random).tolist()
        contents, styles = [], []
        for i, (takes_content, place, where) in zip(wanted.tolist(), draws, strict=True):
            drawings = [j for j in self.of_concept[self.concept_of[i]] if self.style_of[j] != self.style_of[i]]
            own = self.of_style[self.style_of[i]]
            contents.append(drawings[int(place * len(drawings))] if drawings and takes_content < OTHER_CONTENT else i)
            at = int(where * len(own))
            styles.append(own[at] if own[at] != i else own[at - 1])
        return np.array(contents), np.array(styles)


def concept(item: dict[str, object]) -> str:
    return str(item["id"] if item["recoloured"] else item["concept"])
