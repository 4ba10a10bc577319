"""What an optimizer knows of the curvature: factors, what is factorised of them, and the blocks that own both."""
