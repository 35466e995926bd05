"""The hand itself: parameters, mesh, skeleton, camera."""
