"""An exactness gate: what was tried, the number that came out, whether it passes."""

from typing import NamedTuple


class Gate(NamedTuple):
    """One line of `genlat doctor`."""

    name: str
    says: str
    is_passed: bool

    def line(self) -> str:
        """As it is printed."""
        return f"{'ok' if self.is_passed else 'FAILS':<6}{self.name}: {self.says}"


def below(name: str, value: float, bound: float, what: str) -> Gate:
    """A number that must not be larger than a bound; one that is no number is."""
    says = f"{what} {value:.2g}, at most {bound:.0e}"
    return Gate(name, says, bool(value <= bound))


def of_pull(name: str, says: str, pull: float, error: float, sharp: float) -> Gate:
    """A number within five of its errors of what it must be, these below `sharp`."""
    is_passed = bool(abs(pull) < PULL and error < sharp)
    return Gate(name, f"{says}, off by {pull:+.1f} errors", is_passed)


PULL = 5.0
"""In errors: a sound theory or model fails once in two million gates."""
