"""Models side by side: recurrent cells and simpler models of one task, trained alike."""
