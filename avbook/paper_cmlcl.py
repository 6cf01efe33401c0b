"""What the CMLCL paper says: its tables, stated directions, figures and equations."""
