"""The request path, free of torch: how a query becomes a list, stage by stage."""
