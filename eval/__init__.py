"""Pure scores: arrays and images in, numbers out (DESIGN section 9). Imports nothing of the other packages."""
