"""Files to columns: formats, damaged rows, times, downloads, assembly of data sets."""
