"""What the operator will not have shown: pictures are looked at by a classifier before they are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from sqlalchemy import select

from app.database import session_scope
from app.settings import get_settings
from app.users.tables import User
from models.contract.message import Message
from models.contract.sampling import Output, Unfit
from models.contract.values import Picture, Pixels, Value
from models.measure.open_nsfw import indecency

SEEN = 12  # pixels of the longer side that a blurred picture still has


def measure_for(user: str) -> str:
    """off, blur or refuse, by the role of a user."""
    with session_scope(writing=False) as session:
        return get_settings().screening(session.scalar(select(User.role).where(User.id == user)) or "")


def screened(output: Output, measure: str) -> Output:
    """Blurred, or refused by Unfit, where it is a picture that looks indecent. Raises Unfit also where nothing can look
    at it.
    """
    if measure == "off" or not isinstance(picture := output.value, Picture):
        return output
    try:
        (found,) = indecency(torch.from_numpy(picture.pixels.copy()).permute(2, 0, 1)[None])
    except (ImportError, ValueError) as error:
        raise Unfit("This studio looks at pictures before it keeps them, and cannot: {reason}", reason=error) from error
    if found < get_settings().screen_from:
        return output
    if measure == "refuse":
        raise Unfit("The picture was not kept: this studio shows nothing that looks indecent")
    remark = Message("The picture was blurred: this studio shows nothing that looks indecent")
    return replace(
        output, value=Picture(blurred(picture.pixels)), facts={**output.facts, "blurred": True}, remark=remark
    )


def hidden(value: Value, measure: str) -> Value:
    """What is shown of an unfinished work, which nobody has looked at yet."""
    return Picture(blurred(value.pixels)) if measure != "off" and isinstance(value, Picture) else value


def blurred(pixels: Pixels) -> Pixels:
    picture = Image.fromarray(pixels)
    small = picture.copy()
    small.thumbnail((SEEN, SEEN))
    return np.asarray(small.resize(picture.size, Image.Resampling.BICUBIC))
