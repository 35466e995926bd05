"""Text to pose tokens to hand meshes (MMHMR, supplementary section D)."""
