"""What the MA paper says: its tables, stated directions, figures and equations."""
