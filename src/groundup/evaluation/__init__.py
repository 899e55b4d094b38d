"""What each part is worth: bits per byte, ranking, answers, each with an interval."""
