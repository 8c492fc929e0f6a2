"""Sizes given once for both axes of a map, or for each."""

IntPair = int | tuple[int, int]


def pair(size: IntPair) -> tuple[int, int]:
    """(height, width) of a size that may be given as one number."""
    return (size, size) if isinstance(size, int) else size
