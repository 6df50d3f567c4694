"""What is wrong with stored data: it is found, counted and said, and never repaired here."""
