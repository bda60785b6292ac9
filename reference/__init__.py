"""The reference device's simulator and training: development only, demonstration only, never for clinical use."""
