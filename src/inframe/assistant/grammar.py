"""The grammar that a model writes under (GBNF, as llama.cpp takes it): made anew for each part of each draft, of this procedure's
own sentences. There is no rule in it for a digit, a letter or a name: the only ids, times, numbers, sides and names that can be
written are those of the facts. Text from outside has no way in, as `reading` lets none through.
"""

from collections.abc import Sequence

from inframe.assistant.template import Item


def grammar(items: Sequence[Item]) -> str:
    """One line for each item, in order, in any of its wordings; optional ones may be left out."""
    rules = [f"root ::= {' '.join(f'i{i}?' if item.optional else f'i{i}' for i, item in enumerate(items))}"]
    for i, item in enumerate(items):
        wordings = " | ".join(_literal(sentence.line() + "\n") for sentence in item.wordings)
        rules.append(f"i{i} ::= {wordings}")
    return "\n".join(rules) + "\n"


def _literal(text: str) -> str:
    """As a GBNF string. The language has neither quotes nor backslashes; where one appears, something is badly wrong."""
    line = text.removesuffix("\n")
    if not line.isascii() or not line.isprintable() or '"' in line or "\\" in line:
        raise RuntimeError(f"a sentence that no grammar may hold: {line!r}")
    return f'"{line}\\n"'
