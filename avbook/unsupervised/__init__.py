"""Event localisation without labels: CMLCL's features, pseudo-labels, localiser and EM."""
