"""Revalidation: a bundle on labelled, recorded procedures, against criteria that were fixed before (docs/revalidation.md).

cases.py      what a case is, and a set of them by digest
measuring.py  one case through the pipeline -> a Tally: whole numbers that add up in any order
pool.py       many cases, in processes or on a Ray cluster
accepting.py  a bundle on the cases that it names itself, for an update's checkpoint
judging.py    from tallies to estimates, bounds and a verdict
locking.py    what is fixed and signed before anybody looks; looks.py: who looked
"""
