"""What went in and what came out, kept so that it can be run again: an MCAP file per procedure, and its replay."""
