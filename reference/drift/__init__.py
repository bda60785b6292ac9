"""The benchmark of drift detectors: streams with a known onset over simulated procedures. See docs/monitoring.md.

faults.py      what changes at the onset: in the picture, or in what is pictured
rendered.py    measures rendered procedures, before and after each change: the numbers that the simulator is made of
simulated.py   the simulator of signals: procedures, and the samples within one
rivals.py      the other detectors
cost.py        what the monitor of a running device costs
score.py       run lengths and delays
__main__.py    python -m reference.drift
"""
