"""The embedded world: synthetic clips, from their scripts to files in AVE's and LLP's layouts."""
