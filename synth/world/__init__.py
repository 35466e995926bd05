"""The rendered world: a pose library, looks and scenes that become labelled pictures (DESIGN section 5)."""
