"""Control maps and shaded pictures of hand meshes."""
