"""Worker processes: how they are supervised, what they are told, what they count."""
