"""Check that a schedule moves by one with each optimizer update, after its first steps."""

from __future__ import annotations

__all__ = ["Rhythm"]

_WITHOUT_A_STEP = 5

_TOO_FAST = 10
"""More updates than the interval at which a `GradScaler` may skip one each time."""


class Rhythm:
    """A counter of consecutive updates at which a schedule had moved by none or by several."""

    def __init__(self) -> None:
        self._moves: list[int] = []
        self._position = -1

    def count(self, position: int, moved: int) -> str | None:
        """Count an update at which a schedule had not moved by one since the last update.

        Args:
            position: The position of the schedule.
            moved: The steps since the last update.

        Returns:
            A main clause that names the problem, after enough such updates.
        """
        moves = self._moves
        is_next = position - moved == self._position
        # A regular update in between, or the opposite fault, ends the series.
        if not is_next or (moves and (moves[-1] > 0) != (moved > 0)):
            moves.clear()
        moves.append(moved)
        self._position = position
        if moved == 0 and len(moves) + 1 == _WITHOUT_A_STEP:
            return f"the optimizer made {_WITHOUT_A_STEP} updates without one"
        if moved > 0 and len(moves) == _TOO_FAST:
            return f"the schedule made {sum(moves)} steps with the last {_TOO_FAST} updates"
        return None
