"""What a broker leaves in files about itself, for those that can't ask it."""
