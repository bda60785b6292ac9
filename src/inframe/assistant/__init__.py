"""The assistant: sentences about one procedure, each citing the events of the trail that it says.

    trail ──reading──► facts ──grammar──► writer (a model in its box) ──verify──► draft
                         └────────────────template────────────────────────────────▲ where that fails

What is read, in the order of trust: `reading` lets nothing through but values of the device's own vocabulary, so that no text
from outside reaches a prompt, a grammar or a sentence; `verify` takes each sentence apart again and compares it with the facts
that it cites. Without a model all of it works: the template is the writer then.
"""
