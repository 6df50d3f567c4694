"""What was known, and when: schemas, the Parquet lake, the point-in-time timeline."""
