"""Makers of small data sets in the forms of public ones, written from their layouts."""
