"""What the anomaly model takes and answers."""

SIZE = (352, 640)  # height, width of the input: 1280x720 at half size, less 4 rows at the top and at the bottom
STRIDE = 8  # pixels of the input for which there is one answer, each way
MEAN, STD = (0.45, 0.30, 0.25), (0.28, 0.22, 0.20)  # of RGB scaled to 0..1, as the device file must state them
CHANNELS = ("instrument anomaly", "foreign object", "lens dirty")
"""What the maps say, each a logit: something wrong with an instrument, something that belongs to neither instruments
nor tissue, a smear or fog on the lens. The first two are learned from made-up corruption, the third from the simulator."""
