"""Primitives of the engine: the shape rule, NumPy call, jvp and transpose of one primitive in one block."""
