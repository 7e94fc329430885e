"""The command line: thin skins that read words, call the session and show what comes back."""
