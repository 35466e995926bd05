"""MMHMR: pose tokens and the masked transformer over them (paper sections 3.1 to 3.4)."""
