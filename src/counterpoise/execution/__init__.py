"""Machines without I/O that carry a decision out: events in, records and commands out.

Nothing here opens a socket, reads a clock or draws from an unseeded source, so the same machines
run in the event-driven backtest, in a rehearsal, on paper and live, and thousands of fault
schedules run on simulated time.
"""
