"""What the curvature bound needs: fixed signs, cells, expansions of constraints, rotations."""
