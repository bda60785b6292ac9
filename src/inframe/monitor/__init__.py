"""`monitor`: whether what a device sees and says is still what its models were validated on. Numbers only, no picture.

signals.py       what is measured of a picture and of a model's output, and on which fixed scale
summary.py       fixed-bin integer histograms that merge exactly; one summary for each procedure
reference.py     the locked reference in a bundle: how procedures were distributed when the model was validated
charts.py        CUSUM charts, their limits from a declared run length, the e-detector beside them
attribution.py   what drifted: how pictures are taken, or what is in them
acute.py         within a procedure: black, frozen, dirty lens, out of the body, another camera
state.py         all of it on the disk, in one file, safe against a power cut
export.py        what may leave the device, and how exports are merged
"""
