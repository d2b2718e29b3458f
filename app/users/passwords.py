"""Which passwords are too easy to guess: common ones, patterns of the keyboard, the name of whoever has it."""

from __future__ import annotations

from models.contract.message import Message

FEWEST, MOST = 8, 200
EASY = 2  # of zxcvbn's five steps: below it, a million guesses are enough
LOOKED_AT = 72  # characters: what follows makes it no easier


def problem(password: str, *related: str) -> Message | None:
    """Why it is none; `related` are words that others try first, such as the user's name."""
    if not password.strip():
        return Message("This password is blank")
    from zxcvbn import zxcvbn  # its word lists are loaded where somebody sets a password

    if zxcvbn(password[:LOOKED_AT], ["danqing", *related])["score"] < EASY:
        return Message("This password is too easy to guess: take three words, or let a password manager make one")
    return None
