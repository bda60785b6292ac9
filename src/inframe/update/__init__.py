"""A model's way onto the device: fetched, verified, installed, checked, tried, committed or rolled back."""
