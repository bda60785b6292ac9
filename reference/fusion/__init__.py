"""A small model of video and kinematics: the chance that a tool's tip touches the gallbladder within half a second."""
