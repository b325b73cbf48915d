"""What a run leaves to look at: its journal, curves and pictures. Alone knows plotting."""
