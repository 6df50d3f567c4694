"""Does it hold: days that hurt, shocks, made-up months under the guard, and rules of margin."""
