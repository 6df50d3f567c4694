"""The page a rehearsal ends with: one HTML file that loads nothing; ``summary`` has the numbers."""

import math
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go

from counterpoise.execution.records import FillBooked
from counterpoise.rehearsal.costs import Cost
from counterpoise.rehearsal.summary import Summary
from counterpoise.study import page
from counterpoise.units import BPS, NS_PER_MS, from_ms, stamp

_BLUE, _ORANGE, _GREEN = "#0072B2", "#D55E00", "#009E73"
_INK, _GRID, _MUTED = "#1f2328", "#e6e8eb", "#6b7280"
_LATENCIES = {
    "event_to_order": "from an event's arrival to its order handed over",
    "order_to_answer": "from an order's record to the venue's first word",
}


def write_page(told: Summary, out: Path) -> Path:
    """Write the page of a rehearsal.

    Raises
    ------
    OSError
        It cannot be written.
    """
    out.write_text(rehearsal_page(told), encoding="utf-8")
    return out


def rehearsal_page(told: Summary) -> str:
    """HTML of the page."""
    prices = "Its prices are made up" if told.made_up else "Its prices are history"
    body = [
        "<h1>Rehearsal</h1>",
        page.paragraph(
            f"Policy {told.policy}, {told.market}, {stamp(told.first_ms)} to "
            f"{stamp(told.end_ms)} UTC at {told.speed:g}×; run {told.run_id}, version "
            f"{told.version}.",
            "span",
        ),
        page.paragraph(
            f"This was a rehearsal: a local venue played {told.market}. {prices}, its fills are "
            "made on this machine: no order left it, no money moved.",
            "synthetic",
        ),
        page.paragraph(_verdict(told), "verdict"),
        _checks(told),
        _tracking(told),
        _decisions(told),
        _orders(told),
        _costs(told),
        _protection(told),
        _alerts(told),
    ]
    return page.document("Rehearsal", "\n".join(part for part in body if part))


def _verdict(told: Summary) -> str:
    kept = told.tracking
    held = told.short_eth / told.exposure_eth if told.exposure_eth > 0 else math.nan
    failed = sum(not check.ok for check in told.checks)
    checks = (
        f"all {len(told.checks)} checks hold"
        if not failed
        else f"{failed} of {len(told.checks)} checks FAILED"
    )
    away = page.number(100 * kept.mean_error, 2)
    return (
        f"{page.number(told.short_eth, 3)} ETH short against {page.number(told.exposure_eth, 3)} "
        f"long ({page.percent(held, 1)}) at the end; {away} points off target on average over "
        f"time, outside the band {page.number(kept.outside_s / 60, 0)} of "
        f"{page.number(kept.whole_s / 60, 0)} minutes; {checks}."
    )


def _checks(told: Summary) -> str:
    rows = [
        [
            page.escape(check.name),
            "holds" if check.ok else "<b>FAILED</b>",
            page.escape(check.said),
        ]
        for check in told.checks
    ]
    return page.section("Does it add up", page.table(["check", "", "numbers"], rows, left=3))


def _tracking(told: Summary) -> str:
    kept = told.tracking
    if not kept.steps:
        return page.section("The hedge", page.paragraph("No decision was made."))
    rows = [
        [
            _second(hour.ts_ms),
            page.number(hour.exposure_eth, 3),
            page.number(hour.short_eth, 3),
            page.percent(hour.ratio, 2),
            page.percent(hour.target, 2),
            f"{page.percent(hour.lo, 1)} – {page.percent(hour.hi, 1)}",
            page.percent(hour.ratio - hour.target, 2, sign=True),
            "outside" if hour.outside else "inside",
        ]
        for hour in kept.hours
    ]
    head = ["at (UTC)", "exposure ETH", "short ETH", "held", "target", "band", "off", "band is"]
    table = page.table(head, rows)
    return page.section(
        "The hedge",
        page.figure(_ratio(told), "ratio"),
        page.paragraph(
            f"Off target by {page.percent(kept.mean_error, 3)} of the exposure on average and "
            f"{page.percent(kept.rms_error, 3)} in root mean square, weighted by time from the "
            "first decision on. A schedule takes its time on purpose: until it is through, the "
            "hedge is outside its band.",
            "note",
        ),
        table if len(rows) <= 25 else page.folded(f"Every hour ({len(rows)})", table),
    )


def _ratio(told: Summary) -> go.Figure:
    steps = told.tracking.steps
    x = [from_ms(step.ts_ms) for step in steps] + [from_ms(told.end_ms)]
    held = [*steps, steps[-1]]
    figure = go.Figure()
    line = {"width": 1, "shape": "hv", "color": "rgba(0,158,115,0.4)"}
    edge = {"mode": "lines", "line": line, "hoverinfo": "skip"}
    figure.add_scatter(x=x, y=[one.lo for one in held], showlegend=False, **edge)
    figure.add_scatter(
        x=x,
        y=[one.hi for one in held],
        name="band",
        fill="tonexty",
        fillcolor="rgba(0,158,115,0.16)",
        **edge,
    )
    for name, colour, dash, values in (
        ("target", _GREEN, "dash", [one.target for one in held]),
        ("held", _BLUE, "solid", [one.ratio for one in held]),
    ):
        figure.add_scatter(
            x=x,
            y=values,
            name=name,
            mode="lines",
            line={"color": colour, "dash": dash, "shape": "hv"},
            hovertemplate="%{y:.2%}",
        )
    figure.update_yaxes(tickformat=".0%", title="hedge ratio", rangemode="tozero")
    return _dress(figure, "Hedge ratio: held, target and band", 340)


def _dress(figure: go.Figure, title: str, height: int) -> go.Figure:
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 8, "r": 12, "t": 36, "b": 64},
        font={"size": 11, "color": _INK},
        paper_bgcolor="white",
        plot_bgcolor="white",
        hovermode="x unified",
        legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
        title={"text": title, "x": 0, "xref": "paper", "font": {"size": 12}},
    )
    figure.update_xaxes(gridcolor=_GRID, linecolor=_MUTED, showline=True, automargin=True)
    figure.update_yaxes(gridcolor=_GRID, zerolinecolor="#9ca3af", automargin=True)
    return figure


def _decisions(told: Summary) -> str:
    rows = [
        [
            _second(one.ts_ms),
            page.escape(one.cause),
            page.escape(one.because),
            page.number(one.short_eth, 3),
            page.number(one.target_eth, 3),
        ]
        for one in told.decisions
    ]
    table = page.table(["at (UTC)", "cause", "because", "short ETH", "target ETH"], rows, left=3)
    return page.section(
        f"Decisions ({len(rows)})", table if len(rows) <= 30 else page.folded("All", table)
    )


def _orders(told: Summary) -> str:
    orders = told.orders
    numbers = [
        ("placed", page.number(orders.placed, 0)),
        ("filled whole", page.number(orders.whole, 0)),
        ("filled in part", page.number(orders.part, 0)),
        ("cancelled unfilled", page.number(orders.cancelled, 0)),
        ("refused", page.number(orders.refused, 0)),
        ("expired unfilled", page.number(orders.expired, 0)),
        ("no end known", page.number(orders.other, 0)),
        ("maker share", page.percent(orders.maker_share, 1)),
    ]
    refusals = [[page.escape(why), str(times)] for why, times in orders.refusals.items()]
    return page.section(
        "Orders",
        page.table([name for name, _ in numbers], [[value for _, value in numbers]], left=0),
        page.table(["refused because", "times"], refusals) if refusals else "",
        page.figure(_prices(told.fills), "fills"),
        _latencies(told),
    )


def _prices(fills: Sequence[FillBooked]) -> go.Figure | None:
    if not fills:
        return None
    figure = go.Figure()
    figure.add_scatter(
        x=[from_ms(fill.ts_ns // NS_PER_MS) for fill in fills],
        y=[fill.mid for fill in fills],
        name="mid",
        mode="lines",
        line={"color": _MUTED, "width": 1},
        hovertemplate="%{y:,.2f}",
    )
    for maker, name, colour in ((True, "maker", _BLUE), (False, "taker", _ORANGE)):
        some = [fill for fill in fills if fill.maker is maker]
        figure.add_scatter(
            x=[from_ms(fill.ts_ns // NS_PER_MS) for fill in some],
            y=[fill.price for fill in some],
            customdata=[[fill.side, fill.size] for fill in some],
            name=f"{name} ({len(some)})",
            mode="markers",
            marker={"color": colour, "size": 6, "symbol": "circle" if maker else "x"},
            hovertemplate="%{customdata[0]} %{customdata[1]:.3f} ETH at %{y:,.2f}",
        )
    figure.update_yaxes(title="USD", tickformat=",.2f")
    return _dress(figure, "Fills and the mid when they came", 300)


def _latencies(told: Summary) -> str:
    ms = told.latencies_ms
    rows = [
        [page.escape(words), *(page.number(ms[f"{name}_{end}"], 2) for end in ("p50", "p99"))]
        for name, words in _LATENCIES.items()
        if f"{name}_p50" in ms
    ]
    return page.table(["ms on this machine", "median", "99 %"], rows) if rows else ""


def _costs(told: Summary) -> str:
    costs = told.costs
    under_way = f"{told.under_way} schedules were still under way at the end." * bool(
        told.under_way
    )
    if not costs:
        return page.section("What it cost", page.paragraph(f"No schedule ended. {under_way}"))
    head = ["schedule", "ETH", "arrival", "average", "spread", "impact", "delay", "fees"]
    head += ["not filled", "total", "model", "total", "model", "maker", "of trade"]
    units = ["", "", "USD", "USD", "USD", "USD", "USD", "USD", "USD", "USD", "USD"]
    units += ["bp", "bp", "", ""]
    rows = [_cost(cost) for cost in costs]
    if len(costs) > 1:
        rows.append(_sum(costs))
    table = page.table(
        [f"{name} {unit}".strip() for name, unit in zip(head, units, strict=True)],
        rows,
        marked=[len(costs)] if len(costs) > 1 else [],
    )
    paid = [
        under_way,
        f"Fees paid {page.number(told.fees_usd, 2)} USD in all.",
        f"Funding received {page.number(told.funding_usd, 2, sign=True)} USD in "
        f"{len(told.fundings)} settlements.",
    ]
    return page.section(
        "What it cost",
        page.paragraph(
            "Implementation shortfall of each schedule against the mid at its arrival, positive "
            "where it cost: spread + impact + delay + fees + what was not filled. Delay is the "
            "market's move while the schedule waited: over one schedule mostly chance. The model "
            "is what the simulator charges for the same order: slippage and fees.",
            "note",
        ),
        table,
        page.paragraph(" ".join(paid).strip()),
    )


def _cost(cost: Cost) -> list[str]:
    model = cost.model_slippage_usd + cost.model_fee_usd
    usd = (cost.spread_usd, cost.impact_usd, cost.delay_usd, cost.fee_usd, cost.opportunity_usd)
    return [
        f"{cost.schedule_id} {page.escape(cost.side)}",
        page.number(cost.filled_eth, 3),
        page.number(cost.arrival_mid, 2),
        page.number(cost.average_price if cost.filled_eth else math.nan, 2),
        *(page.number(part, 2) for part in (*usd, cost.total_usd, model)),
        page.number(cost.bps(cost.total_usd), 2),
        page.number(cost.bps(model), 2),
        page.percent(cost.maker_share, 0),
        page.percent(cost.participation, 1),
    ]


def _sum(costs: Sequence[Cost]) -> list[str]:
    notional = sum(cost.notional_usd for cost in costs)
    total = sum(cost.total_usd for cost in costs)
    model = sum(cost.model_slippage_usd + cost.model_fee_usd for cost in costs)
    filled = sum(cost.filled_eth for cost in costs)
    parts = [
        sum(getattr(cost, f"{name}_usd") for cost in costs)
        for name in ("spread", "impact", "delay", "fee", "opportunity")
    ]
    maker = sum(cost.maker_share * cost.filled_eth for cost in costs)
    return [
        "all",
        page.number(filled, 3),
        "",
        "",
        *(page.number(part, 2) for part in (*parts, total, model)),
        page.number(total / notional / BPS if notional else math.nan, 2),
        page.number(model / notional / BPS if notional else math.nan, 2),
        page.percent(maker / filled if filled else math.nan, 0),
        "",
    ]


def _protection(told: Summary) -> str:
    stops = [
        [
            _second(stop.ts_ms),
            page.escape(stop.client_id),
            page.escape(stop.side),
            page.escape(stop.status),
            page.number(stop.size, 3),
            page.number(stop.trigger, 2),
        ]
        for stop in told.stops
    ]
    moves = [
        [
            _second(move.ts_ns // NS_PER_MS),
            page.escape(move.client_id),
            page.escape(move.status),
            page.escape(move.reason),
            page.number(move.usd, 2, sign=True),
        ]
        for move in told.moves
    ]
    return page.section(
        "Stops and collateral",
        page.table(["rested from", "stop", "side", "became", "ETH", "trigger USD"], stops, left=4)
        if stops
        else page.paragraph("No stop rested."),
        page.table(["at (UTC)", "transfer", "is", "because", "USD"], moves, left=4)
        if moves
        else page.paragraph("No collateral moved."),
        page.paragraph(f"In the venue's wallet at the end: {page.number(told.wallet_usd, 2)} USD."),
    )


def _alerts(told: Summary) -> str:
    rows = [
        [
            _second(one.ts_ns // NS_PER_MS),
            *map(page.escape, (one.severity, one.text, one.next_step)),
        ]
        for one in told.alerts
    ]
    modes = [
        [_second(one.ts_ns // NS_PER_MS), *map(page.escape, (one.mode, one.by, one.why))]
        for one in told.modes
    ]
    return page.section(
        "Alerts",
        page.table(["at (UTC)", "severity", "what", "next"], rows, left=4)
        if rows
        else page.paragraph("None."),
        page.table(["at (UTC)", "trading was", "by", "why"], modes, left=4) if modes else "",
    )


def _second(ts_ms: int) -> str:
    return f"{from_ms(ts_ms):%Y-%m-%d %H:%M:%S}"
