"""What a person sees while it runs: alerts, and one screen of status."""
