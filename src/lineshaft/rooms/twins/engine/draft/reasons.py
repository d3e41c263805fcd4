"""Reasons: why a line of a draft is as it is, as a code with its figures and as a sentence.

Rules: the code is what another language is made from; shares are in [0, 1] and said in percent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["SENTENCES", "Reason"]

SENTENCES: Final[Mapping[str, str]] = {
    "name": "Made of the machine's name; change it as you like.",
    "class.named": "Its name says so, and so do its signals: as such a machine they tell {told} of "
                   "what they do.",
    "class.moves": "No name says so, but its signals do what those of such a machine do.",
    "class.word": "Only a name says so; the behaviour is a plain lag.",
    "behaviour": "It tells {told} of the movement in the last fifth of the period, which it "
                 "did not "
                 "learn from; the next best, {other}, tells {otherTold}.",
    "behaviour.alone": "It tells {told} of the movement in the last fifth of the period, which it "
                       "did not learn from; nothing else fits these signals.",
    "clock": "A clock of the plant runs as fast as this signal says in {share} of the time.",
    "port.input": "Name and unit fit to {fit}, those of the next best signal to {runner}; it tells "
                  "{tells} of what the outputs do beyond their own past.",
    "port.output": "Name and unit fit to {fit}, those of the next best signal to {runner}; {told} "
                   "of its movement is foretold.",
    "parameter": "Fitted; one standard deviation is {sigma} {unit}.",
    "parameter.untold": "This period cannot tell it; the value is where the fit was left.",
    "parameter.reference": "A reference chosen from the samples; the other figures are for it.",
    "unit.written": "Its name says so.",
    "unit.guessed": "Usual for such a name, and the samples can be in it.",
    "range": "What {count} samples span, with a margin; the later half lies in the range of the "
             "first to {share}.",
}  # fmt: skip
_PLAIN: Final = frozenset({"sigma", "count"})


@dataclass(frozen=True, slots=True)
class Reason:
    """A code of SENTENCES and its figures."""

    code: str
    figures: Mapping[str, float | str]

    def text(self) -> str:
        """Return the sentence.

        >>> Reason("clock", {"share": 0.984}).text()
        'A clock of the plant runs as fast as this signal says in 98 % of the time.'
        """
        shown = {name: value if isinstance(value, str) else
                 f"{value:.3g}" if name in _PLAIN else f"{100 * value:.0f} %"
                 for name, value in self.figures.items()}  # fmt: skip
        return SENTENCES[self.code].format(**shown).replace(" .", ".")
