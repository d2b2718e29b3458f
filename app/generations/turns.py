"""Whose turn it is: start-time fair queuing between users, in units of cost.

Each user's clock runs by the cost of what was done for them; the studio's clock stands where the job that was claimed
last began. Who was away does not get what was missed: their clock is set to the studio's. Goyal, Vin and Cheng,
"Start-time Fair Queuing", 1996.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select, update
from sqlalchemy.orm import Session

from app.generations.tables import Generation
from app.users.tables import User


def clock(session: Session) -> int:
    """The studio's."""
    return session.scalar(select(func.max(User.served_from))) or 0


def own_clock(now: int) -> ColumnElement[int]:
    """Of each user."""
    return case((User.served_until < now, now), else_=User.served_until)


def of_jobs(session: Session, *where: ColumnElement[bool]) -> Select[str, int]:
    """(id, turn) of queued jobs, in the order in which each user's are claimed: by the clock at which they begin."""
    order = (Generation.priority.desc(), Generation.id)
    costs = func.sum(Generation.cost).over(partition_by=Generation.user_id, order_by=order, rows=(None, 0))
    turn = (own_clock(clock(session)) + costs - Generation.cost).label("turn")
    query = select(Generation.id, turn).join(User, User.id == Generation.user_id).where(*where)
    return query.order_by(*order)


def serve(session: Session, first: str, costs: Mapping[str, int]) -> None:
    """A batch was claimed: so much of each user's work is done in it, and it was the turn of `first`."""
    now = clock(session)
    begun = session.scalar(select(own_clock(now)).where(User.id == first))
    for user_id, cost in sorted(costs.items()):  # one order for all workers: no deadlock
        clocks: dict[str, Any] = {"served_until": own_clock(now) + cost}
        if user_id == first:
            clocks["served_from"] = begun
        session.execute(update(User).where(User.id == user_id).values(clocks))
