"""The tests mirror the packages; a file of tests per module."""
