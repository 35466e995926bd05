"""Mesh- and pose-guided hand painting: ControlNet and the small base model."""
