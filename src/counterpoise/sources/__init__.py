"""Everything that talks to the outside for data; what it brings is written to the lake."""
