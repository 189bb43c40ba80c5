"""How well scores tell attacks from harmless texts: shares with intervals, thresholds, calibration. Pure.

    rows.py         a line of a labelled file -> a row
    shares.py       scores -> recall at a stated share of false positives, with its interval; ROC; AUC
    calibration.py  scores and labels -> bias and temperature, reliability, expected calibration error
    report.py       judged rows -> the figures of each source, as values and as a table

What is found is what scores at or above a threshold, as in a policy. The bootstrap's draws are seeded, so equal scores
give equal figures.
"""
