"""The default hand, free to ship, and the script that builds it from the Anny body model (DESIGN section 4)."""
