"""Whole commands under conditions that break things: two of everything, full disks, limits."""
