"""Breaks a running device on purpose, one fault at a time, and measures how the picture fared."""
