"""One file a data set: publishers' files in, `Dataset` out."""
