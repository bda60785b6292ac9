"""A seeded laparoscopic scene: ``Procedure(seed).frame(i)`` gives the picture and everything that is true about it."""

from reference.scene.classes import CLASSES
from reference.scene.procedure import Procedure

__all__ = ["CLASSES", "Procedure"]
