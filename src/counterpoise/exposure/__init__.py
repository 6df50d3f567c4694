"""What is being hedged, hour by hour: holdings, their loans and the flows on top."""
