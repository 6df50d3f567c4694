"""Features: numbers known at each tick, one compiled recursion each for history and live."""
