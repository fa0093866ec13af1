"""Commands: what people type; each reads options, calls the library and prints."""
