"""Scores on AVE and LLP, scores of clusterings, and bootstrap intervals over videos."""
