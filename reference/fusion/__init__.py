"""A small model of video and kinematics: the chance that a tool's tip touches the gallbladder within half a second."""

KINDS = ("fused", "video", "kinematics")
WINDOW, RATE_HZ = 16, 100  # poses that the model is given
AHEAD_S = 0.5  # a contact within so long is what it is asked about
PAST = 7  # tips that the model of video alone remembers, one a frame
