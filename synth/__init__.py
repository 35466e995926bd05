"""Hands to images, and text to hands."""
