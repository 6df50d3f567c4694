"""NautilusTrader's live node for one Binance USD-M instrument, around our shell.

Where it connects is the only difference between a rehearsal, paper, testnet and live.
"""

from dataclasses import dataclass
from pathlib import Path

from nautilus_trader.adapters.binance import (
    BINANCE,
    BinanceAccountType,
    BinanceDataClientConfig,
    BinanceExecClientConfig,
    BinanceLiveDataClientFactory,
    BinanceLiveExecClientFactory,
)
from nautilus_trader.adapters.binance.common.enums import BinanceEnvironment, BinanceKeyType
from nautilus_trader.config import (
    InstrumentProviderConfig,
    LiveExecEngineConfig,
    LiveRiskEngineConfig,
    LoggingConfig,
    TradingNodeConfig,
)
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.identifiers import InstrumentId, TraderId

from counterpoise.credentials import Credentials
from counterpoise.trading.shell import Shell


@dataclass(frozen=True, slots=True)
class Wires:
    """Where a node connects; empty urls are the venue's own.

    Attributes
    ----------
    testnet : bool
    http, stream, orders : str
        REST, market and user streams, and order entry.
    """

    testnet: bool = False
    http: str = ""
    stream: str = ""
    orders: str = ""


def node_of(
    shell: Shell, instrument_id: InstrumentId, keys: Credentials, wires: Wires, folder: Path
) -> TradingNode:
    """Build a node; it is not started.

    Parameters
    ----------
    shell : Shell
    instrument_id : InstrumentId
    keys : Credentials
        Handed to NautilusTrader and kept nowhere else.
    wires : Wires
    folder : Path
        For NautilusTrader's own log.
    """
    where = {
        "api_key": keys.api_key.reveal(),
        "api_secret": keys.secret.reveal(),
        # Told apart by themselves but for RSA.
        "key_type": BinanceKeyType.RSA if "RSA" in keys.secret.reveal() else BinanceKeyType.HMAC,
        "account_type": BinanceAccountType.USDT_FUTURES,
        "environment": BinanceEnvironment.TESTNET if wires.testnet else BinanceEnvironment.LIVE,
        "base_url_http": wires.http or None,
        "instrument_provider": InstrumentProviderConfig(load_ids=frozenset({instrument_id})),
    }
    node = TradingNode(
        TradingNodeConfig(
            trader_id=TraderId("COUNTERPOISE-001"),
            logging=LoggingConfig(
                log_level="OFF",
                log_level_file="WARNING",
                log_directory=str(folder),
                log_file_name="nautilus",
                print_config=False,
            ),
            data_clients={
                BINANCE: BinanceDataClientConfig(**where, base_url_ws=wires.stream or None)
            },
            exec_clients={
                BINANCE: BinanceExecClientConfig(
                    **where,
                    base_url_ws=wires.orders or None,
                    base_url_ws_stream=wires.stream or None,
                    # An order is never sent twice: what became of it is asked by its id.
                    max_retries=None,
                )
            },
            exec_engine=LiveExecEngineConfig(
                reconciliation=True,
                reconciliation_startup_delay_secs=0.0,
                # Position and orders are checked by our own queries, against our journal.
                inflight_check_interval_ms=0,
                open_check_interval_secs=None,
                position_check_interval_secs=None,
            ),
            # Our guard is the guard; this one returns early for margin accounts.
            risk_engine=LiveRiskEngineConfig(bypass=True),
            timeout_connection=20.0,
            timeout_reconciliation=10.0,
            timeout_disconnection=2.0,
            timeout_post_stop=0.5,
        )
    )
    node.trader.add_strategy(shell)
    node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
    node.add_exec_client_factory(BINANCE, BinanceLiveExecClientFactory)
    node.build()
    return node
