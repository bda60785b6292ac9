"""Writers that stand in for a model, good and bad. No test in here."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Change = Callable[[str], str]


@dataclass
class StandIn:
    """Repeats the facts of its prompt, each line changed by `change`; remembers what it was given."""

    change: Change = lambda line: line
    prompts: list[str] = field(default_factory=list)
    grammars: list[str] = field(default_factory=list)

    def write(self, prompt: str, grammar: str | None, most: int) -> Iterator[str]:
        self.prompts.append(prompt)
        self.grammars.append(grammar or "")
        text = "\n".join(self.change(line) for line in prompt.partition("\n=>\n")[0].splitlines())
        yield from (text[at : at + 40] for at in range(0, len(text), 40))


@dataclass
class Endless:
    """Never ends."""

    taken: int = 0

    def write(self, prompt: str, grammar: str | None, most: int) -> Iterator[str]:
        while True:
            self.taken += 1
            yield "word " * 20


def later(line: str) -> str:
    """Each time a minute later."""
    return re.sub(r"(\d\d):(\d\d):(\d\d)", lambda m: f"{m[1]}:{(int(m[2]) + 1) % 60:02}:{m[3]}", line)


def one_more(line: str) -> str:
    """Each number that is no time and no id, one more."""
    text, bracket, ids = line.partition(" [")
    return re.sub(r"(?<![\d:.])(\d+)(?![\d:])", lambda m: str(int(m[1]) + 1), text) + bracket + ids


def other_side(line: str) -> str:
    """Left is right."""
    return re.sub(r"\b(left|right) side", lambda m: f"{'right' if m[1] == 'left' else 'left'} side", line)


def no_side(line: str) -> str:
    """The side left out."""
    return re.sub(r",? (?:on the )?(?:left|right) side", "", line)
