"""Rhythm of a schedule after its first steps: it moves by one with each optimizer update."""

from __future__ import annotations

__all__ = ["Rhythm"]

_WITHOUT_A_STEP = 5

_TOO_FAST = 10
"""More updates than those before which a `GradScaler` skips one each time."""


class Rhythm:
    """Counts the updates in a row at which a schedule had not moved, or by more than one."""

    def __init__(self) -> None:
        self._moves: list[int] = []
        self._position = -1

    def count(self, position: int, moved: int) -> str | None:
        """Count an update at which a schedule had not moved by one since the last.

        Args:
            position: The position of the schedule.
            moved: By how much it has moved.

        Returns:
            A main clause that names the problem, once there is one.
        """
        moves = self._moves
        is_next = position - moved == self._position
        if not is_next or (moves and (moves[-1] > 0) != (moved > 0)):
            moves.clear()
        moves.append(moved)
        self._position = position
        if moved == 0 and len(moves) + 1 == _WITHOUT_A_STEP:
            return f"the optimizer made {_WITHOUT_A_STEP} updates without one"
        if moved > 0 and len(moves) == _TOO_FAST:
            return f"the schedule made {sum(moves)} steps with the last {_TOO_FAST} updates"
        return None
