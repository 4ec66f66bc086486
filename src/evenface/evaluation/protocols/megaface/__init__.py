"""MegaFace challenge 1: FaceScrub's probes among up to a million distractors.

- `challenge`: the benchmark; `ranks`: its counting.
- `lists`: the development kit's lists and the noise lists; `files`: where pictures and features lie.
"""

from evenface.evaluation.protocols.megaface.challenge import Noise, megaface

__all__ = ["Noise", "megaface"]
