"""A slow book written from docs/venue.md: every step of every queue is a token in a list."""

OTHER = 0
PRICES = range(97, 104)
OPPOSITE = {"BUY": "SELL", "SELL": "BUY"}


class TokenBook:
    """Queues and what is left to take, token by token; sides are those of resting orders.

    ``queue`` holds ``OTHER`` or the id of an order of ours; ``free`` holds True where the step is
    not taken by us. Shrinking drops tokens from the end.
    """

    def __init__(self) -> None:
        self.queue = {side: {price: [] for price in PRICES} for side in OPPOSITE}
        self.free = {side: {price: [] for price in PRICES} for side in OPPOSITE}
        self.filled: dict[int, int] = {}
        self.joined: list[int] = []

    def outward(self, side: str) -> list[int]:
        """Prices of a side, best first."""
        return sorted(PRICES, reverse=side == "BUY")

    def crossing(self, side: str, price: int) -> list[int]:
        """Prices an order of that side at that price meets, best first."""
        other = OPPOSITE[side]
        return [p for p in self.outward(other) if (p <= price if side == "BUY" else p >= price)]

    def show(self, side: str, price: int, size: int) -> None:
        free = self.free[side][price]
        del free[size:]
        free += [True] * (size - len(free))
        self._show_queue(side, price, size)

    def _show_queue(self, side: str, price: int, size: int) -> None:
        queue = self.queue[side][price]
        while queue.count(OTHER) > size:
            del queue[len(queue) - 1 - queue[::-1].index(OTHER)]
        queue += [OTHER] * (size - queue.count(OTHER))

    def ticker(self, bid: int, bid_size: int, ask: int, ask_size: int) -> None:
        for price in PRICES:
            if price > bid:
                self.show("BUY", price, 0)
            if price < ask:
                self.show("SELL", price, 0)
        self.show("BUY", bid, bid_size)
        self.show("SELL", ask, ask_size)

    def fresh(self) -> None:
        for side in OPPOSITE:
            for price in PRICES:
                self.free[side][price].clear()

    def settle(self) -> None:
        """Orders of ours that the other side crosses fill, best price first, then oldest."""
        for side in OPPOSITE:
            for price in self.outward(side):
                owners = [token for token in self.queue[side][price] if token != OTHER]
                for owner in dict.fromkeys(owners):
                    wanted = owners.count(owner)
                    got = self.take(side, price, wanted)
                    self._fill(side, price, owner, got)

    def take(self, side: str, limit: int, steps: int) -> int:
        """Take what is free up to a limit; how much there was."""
        got = 0
        for price in self.crossing(side, limit):
            free = self.free[OPPOSITE[side]][price]
            for place, is_free in enumerate(free):
                if is_free and got < steps:
                    free[place] = False
                    got += 1
        return got

    def _fill(self, side: str, price: int, owner: int, steps: int) -> None:
        for _ in range(steps):
            self.queue[side][price].remove(owner)
            self.filled[owner] = self.filled.get(owner, 0) + 1

    def join(self, side: str, price: int, owner: int, steps: int) -> None:
        self._show_queue(side, price, len(self.free[side][price]))
        self.queue[side][price] += [owner] * steps

    def leave(self, side: str, price: int, owner: int) -> None:
        self.queue[side][price] = [t for t in self.queue[side][price] if t != owner]

    def trade(self, price: int, steps: int, taker: str) -> None:
        maker = OPPOSITE[taker]
        for better in self.crossing(taker, price):
            queue = self.queue[maker][better]
            if better != price:
                queue[:] = [token for token in queue if token != OTHER]
            eaten, queue[:] = queue[:steps], queue[steps:]
            steps -= len(eaten)
            for token in eaten:
                if token != OTHER:
                    self.filled[token] = self.filled.get(token, 0) + 1
