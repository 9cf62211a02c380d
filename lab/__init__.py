"""Whole OpenStack clouds, each with its Alliance daemon, on one machine."""
