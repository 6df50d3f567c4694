"""From signals to intents: every hedge policy, manual or learned, is one type."""
