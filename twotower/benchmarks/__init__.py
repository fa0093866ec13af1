"""Many models on many data sets, and what the stages of a study cost."""
