"""IARPA Janus Benchmarks: templates of several faces, 1:1 and 1:N.

- `bc`: IJB-B and IJB-C; `a`: IJB-A.
- `lists`: which files make up each form on disk; `meta`, `pairs`, `nist`: what is in them.
- `table`: how such files are read.
- `measure`: the figures, from templates on.
"""

from evenface.evaluation.protocols.ijb.a import ijba
from evenface.evaluation.protocols.ijb.bc import ijb

__all__ = ["ijb", "ijba"]
