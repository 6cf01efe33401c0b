"""The data: events and labels, the files of AVE and LLP and their checks, splits and batches."""
