"""The hand: skeleton, camera, and the model from MANO parameters to a mesh (DESIGN section 4)."""
