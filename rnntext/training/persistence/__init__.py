"""Files of a run: its checkpoint, its saved state, and other runs that start from them."""
