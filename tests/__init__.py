"""The tests mirror the packages of the repository; endurance/ is test equipment.

A package, because learn2learn installs one of this name, which would otherwise be imported instead.
"""
