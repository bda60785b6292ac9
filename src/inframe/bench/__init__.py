"""Measures the frame path on this machine: everything in one run, interleaved, so that the machine's drift hits all alike."""
