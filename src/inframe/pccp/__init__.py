"""A predetermined change control plan that a machine can check: is this change within it, and did it pass what the plan demands.

check     a plan, the bundle before, the bundle now, the evidence -> what holds, what does not, what is missing    docs/pccp.md
refusal   the same as one line, for an update's checkpoint
"""

from inframe.pccp.checking import check, refusal
from inframe.pccp.evidence import Evidence, read_evidence
from inframe.pccp.plan import Plan, read_plan

__all__ = ["Evidence", "Plan", "check", "read_evidence", "read_plan", "refusal"]
