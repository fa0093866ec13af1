"""Raw events and tables become a validated, frozen `Dataset`, splits and batches."""
