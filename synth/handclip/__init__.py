"""HandCLIP: a small text-image model of the rendered world."""
