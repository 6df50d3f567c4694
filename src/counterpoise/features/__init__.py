"""Numbers known at each tick, each one compiled recursion for history and live."""

# First of all the catalog: it imports the rooms in its order, whichever of them is asked for.
from counterpoise.features import catalog as catalog
