"""What people read of an examination: pages, tables, figures."""
