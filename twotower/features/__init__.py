"""Raw columns become codes and z-values; histories become profiles."""
