"""Measures the whole reference device on procedures that nothing was trained on or chosen with."""
