"""`make bench`: one table of ratios between two things that were measured in the same run."""
