"""From features to forecasts: labels, walk-forward training, calibrated confidence."""
