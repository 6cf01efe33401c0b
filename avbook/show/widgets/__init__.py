"""Interactive widgets: PSP's threshold, the neighbours of a clip, swapped soundtracks."""
