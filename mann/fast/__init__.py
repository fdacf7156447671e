"""The compiled path through time; optional, and imported only where it is asked for."""
