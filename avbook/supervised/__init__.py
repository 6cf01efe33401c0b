"""Event localisation with labels, full or weak: audio-guided attention, AVEL and PSP."""
