"""Images to hands: everything that knows what a hand is."""
