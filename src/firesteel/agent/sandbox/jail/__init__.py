"""What runs inside the jail. Nothing here is imported by the rest; the folder is shown to the jailed interpreter."""
