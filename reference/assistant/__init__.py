"""The assistant's reference model: synthetic procedures, what writers make of them, and the training of a tiny model."""
