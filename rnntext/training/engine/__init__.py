"""The training loop, whatever is learned: steps, schedule, optimizer, processes, device."""
