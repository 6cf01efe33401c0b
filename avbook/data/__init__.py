"""The data: events and labels, the files of AVE and LLP with their checks, splits and batches."""
