"""What a check says of itself: case by case how it goes, or at the first fault that it has failed.

Owns: Verdicts, must, awaited, came. Does not: judge. Invariant: whoever has one failed case, or one fault, ends with 1.
"""

import sys
import threading
import time


class Verdicts:
    """Tells and counts cases, for a check that goes on after one that fails. Cases may come from several threads."""

    def __init__(self):
        self.passed = self.failed = 0
        self.lock = threading.Lock()

    def __call__(self, name, good, why=None):
        """One case; `why` is said of one that is not good."""
        print(f"{'ok' if good else 'FAILED'}: {name}{'' if good or why is None else f': {why}'}", flush=True)
        self.count(good)

    def count(self, good):
        """One case of which somebody else has told."""
        with self.lock:
            self.passed += bool(good)
            self.failed += not good

    def end(self):
        """Says how many there were; the exit code."""
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


def must(truth, what):
    """Ends a check that cannot go on without this."""
    if not truth:
        sys.exit(f"failed: {what}")


def awaited(what, look, seconds):
    """What `look` finds, as soon as it does; ends a check to which it does not come."""
    found = came(look, seconds)
    must(found, f"not within {seconds} s: {what}")
    return found


def came(look, seconds):
    """What `look` finds, as soon as it does; what it found last when time is up."""
    end = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < end:
        time.sleep(0.2)
    return found
