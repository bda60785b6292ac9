"""The classes of the masks, in the order of the model's output channels."""

CLASSES = (
    "background",  # outside the field of view, and whatever has no name of its own (gauze, needle)
    "liver",
    "gallbladder",
    "fat",  # and connective tissue
    "bowel",
    "abdominal wall",
    "instrument shaft",
    "instrument tip",  # wrist and jaws
)

BACKGROUND, LIVER, GALLBLADDER, FAT, BOWEL, WALL, SHAFT, TIP = range(len(CLASSES))
