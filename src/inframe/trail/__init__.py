"""The trail: the append-only, tamper-evident log of what was shown. Append, prove, verify.

write.Writer            append, commit, publish, prune       docs/trail.md        what it protects against
verify.verify           the whole log or a range             docs/trail-format.md the bytes
prove, trace, export    take out one leaf, one frame, one procedure, each with its proof
witness.Witness         the second party
"""
