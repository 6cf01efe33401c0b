"""Event localisation with labels, full or weak: guided attention, AVEL, CMRAN and PSP."""
