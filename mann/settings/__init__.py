"""Everything that a run depends on, with its defaults."""
