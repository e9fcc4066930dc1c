"""Who does which run next, so that nobody waits for what another one is making."""

import threading
from contextlib import contextmanager
from typing import Iterator, Optional, Sequence, Set

from espnet_llmasr.experiments.strategies import Run


class Turns:
    """Hands out runs in their order, but first those that need no pretraining that is being made.

    Strategies of one seed share a pretraining. Who takes the first of them makes it; until that is done the others take
    what can do without: a strategy with a pretraining of its own or with none, or one of another seed.
    """

    def __init__(self, runs: Sequence[Run]):
        self.left = list(dict.fromkeys(runs))
        self.making: Set[int] = set()
        self.made: Set[int] = set()
        self.changed = threading.Condition()

    def take(self) -> Optional[Run]:
        """The next run; None if there is none. Waits only if all that are left need what is being made."""
        with self.changed:
            self.changed.wait_for(lambda: not self.left or self._next())
            run = self._next()
            if run is not None:
                self.left.remove(run)
                if run.plan.shares_pretraining and run.seed not in self.made:
                    self.making.add(run.seed)
            return run

    def _next(self) -> Optional[Run]:
        waits = {run for run in self.left if run.plan.shares_pretraining and run.seed in self.making}
        return next((run for run in self.left if run not in waits), None)

    @contextmanager
    def pretraining(self, run: Run) -> Iterator[bool]:
        """Yields whether this run is to make the pretraining of its seed; if it fails, the next one tries."""
        wanted = run.plan.shares_pretraining and run.seed in self.making
        ended = False
        try:
            yield wanted
            ended = True
        finally:
            if wanted:
                with self.changed:
                    self.making.discard(run.seed)
                    self.made |= {run.seed} if ended else set()
                    self.changed.notify_all()

    def end(self) -> None:
        """No run is handed out any more."""
        with self.changed:
            self.left.clear()
            self.changed.notify_all()
