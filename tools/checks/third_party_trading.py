#!/usr/bin/env python3
"""Do Binance clients that are not ours trade on the simulated venue?

Starts `veloz venue` and points two clients at it by URL, CA and keys alone: the venue's own SDK
over the websocket API (logs on with an Ed25519 key, listens to its account, places, amends,
cancels, replaces and fills orders), and python-binance over REST with an HMAC key. Every answer
and event goes through the clients' own models; at the end both agree with the account.

Usage: third_party_trading.py PATH_OF_VELOZ
"""

import asyncio
import logging
import os
import re
import ssl
import subprocess
import sys
import tempfile
from decimal import Decimal

SYMBOL = "BTCUSDT"


def start_venue(veloz, folder):
    venue = subprocess.Popen(
        [
            veloz,
            "venue",
            "--port=0",
            f"--ca-file={folder}/ca.pem",
            f"--key-dir={folder}/keys",
            f"--symbols={SYMBOL}",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    port = None
    for line in venue.stdout:
        found = re.match(r"rest +https://localhost:(\d+)/", line)
        if found:
            port = int(found[1])
        if line.startswith("keys "):
            return venue, port
    sys.exit("the venue did not start")


def key(folder, name):
    with open(f"{folder}/keys/{name}", encoding="ascii") as file:
        return file.read()


def cents(price):
    """A price on the symbol's grid, as the client wants it."""
    return float(round(price, 2))


class Events:
    """User data as it arrives, to be waited for."""

    def __init__(self):
        self.queue = asyncio.Queue()

    def take(self, event):
        self.queue.put_nowait(event.actual_instance)

    async def story(self, until):
        """Execution, status and id of each report up to the one that `until` names."""
        story = []
        while True:
            event = await asyncio.wait_for(self.queue.get(), timeout=30)
            name = type(event).__name__
            if name == "ExecutionReport":
                story.append((event.x, event.X, event.c))
            elif name == "OutboundAccountPosition":
                story.append((name, *sorted(balance.a for balance in event.B)))
            else:
                raise AssertionError(f"an event nobody caused: {event}")
            if story[-1][: len(until)] == until:
                return story


async def expect_error(code, call):
    reply = (await call).data()
    assert isinstance(reply, dict) and reply["error"]["code"] == code, reply


async def over_websocket(port, folder):
    # The client logs every refused request; those here are wanted.
    logging.disable(logging.ERROR)
    from binance_common.configuration import ConfigurationWebSocketAPI
    from binance_sdk_spot.spot import Spot
    from binance_sdk_spot.websocket_api import models

    configuration = ConfigurationWebSocketAPI(
        api_key=key(folder, "api_key"),
        private_key=f"{folder}/keys/ed25519.pem",
        stream_url=f"wss://localhost:{port}/ws-api/v3",
        https_agent=ssl.create_default_context(cafile=f"{folder}/ca.pem"),
    )
    api = Spot(config_ws_api=configuration).websocket_api
    await api.create_connection()
    try:
        await api.session_logon()
        status = (await api.session_status()).data().result
        assert status.api_key == key(folder, "api_key"), status
        subscription = await api.user_data_stream_subscribe()
        events = Events()
        subscription.stream.on("message", events.take)

        ticker = (await api.ticker_book(symbol=SYMBOL)).data().actual_instance.result
        bid = Decimal(ticker.bid_price)
        buy = {
            "symbol": SYMBOL,
            "side": models.OrderPlaceSideEnum["BUY"].value,
            "type": models.OrderPlaceTypeEnum["LIMIT"].value,
            "time_in_force": models.OrderPlaceTimeInForceEnum["GTC"].value,
        }
        resting = {**buy, "price": cents(bid * Decimal("0.9")), "quantity": 0.003}

        # Placed, amended, cancelled.
        placed = (await api.order_place(**resting, new_client_order_id="first")).data().result
        assert placed.status == "NEW", placed
        amended = await api.order_amend_keep_priority(
            symbol=SYMBOL, order_id=placed.order_id, new_qty=0.002, new_client_order_id="amended"
        )
        amended = amended.data().result.amended_order
        assert Decimal(amended.qty) == Decimal("0.002"), amended
        shown = (await api.order_status(symbol=SYMBOL, order_id=placed.order_id)).data().result
        assert (shown.client_order_id, shown.status) == ("amended", "NEW"), shown
        cancelled = await api.order_cancel(
            symbol=SYMBOL, order_id=placed.order_id, new_client_order_id="gone"
        )
        assert cancelled.data().result.status == "CANCELED"
        story = await events.story(("CANCELED",))
        reports = [event for event in story if event[0] != "OutboundAccountPosition"]
        assert reports == [
            ("NEW", "NEW", "first"),
            ("REPLACED", "NEW", "amended"),
            ("CANCELED", "CANCELED", "gone"),
        ], story

        # Cancelled and replaced in one request.
        await api.order_place(**resting, new_client_order_id="second")
        replaced = await api.order_cancel_replace(
            **{**resting, "price": cents(bid * Decimal("0.8"))},
            cancel_replace_mode=models.OrderCancelReplaceCancelReplaceModeEnum[
                "STOP_ON_FAILURE"
            ].value,
            cancel_orig_client_order_id="second",
            cancel_new_client_order_id="replaced",
            new_client_order_id="third",
        )
        assert replaced.data().result.new_order_result == "SUCCESS"
        story = await events.story(("NEW", "NEW", "third"))
        reports = [event for event in story if event[0] != "OutboundAccountPosition"]
        assert reports == [
            ("NEW", "NEW", "second"),
            ("CANCELED", "CANCELED", "replaced"),
            ("NEW", "NEW", "third"),
        ], story
        open_orders = (await api.open_orders_status(symbol=SYMBOL)).data().result
        assert [order.client_order_id for order in open_orders] == ["third"], open_orders
        await api.open_orders_cancel_all(symbol=SYMBOL)
        await events.story(("CANCELED",))

        # Filled at once, and refused in the venue's way.
        market = await api.order_place(
            symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01, new_client_order_id="market"
        )
        market = market.data().result
        assert market.status == "FILLED" and market.fills, market
        story = await events.story(("TRADE", "FILLED", "market"))
        assert story[-1 - len(market.fills)] == ("NEW", "NEW", "market"), story
        await expect_error(-2011, api.order_cancel(symbol=SYMBOL, order_id=market.order_id))
        await expect_error(-1013, api.order_place(**{**resting, "price": 0.001}))
        await expect_error(
            -2010, api.order_place(symbol=SYMBOL, side="SELL", type="MARKET", quantity=99)
        )
        trades = (await api.my_trades(symbol=SYMBOL)).data().result
        assert sum(Decimal(trade.qty) for trade in trades) == Decimal("0.01"), trades
        account = (await api.account_status()).data().result
        counts = (await api.account_rate_limits_orders()).data().result
        assert [count.interval for count in counts] == ["SECOND", "DAY"], counts
        await api.session_logout()
        return {balance.asset: Decimal(balance.free) for balance in account.balances}
    finally:
        await api.close_connection()


def over_rest(port, folder):
    # Imported here: it reads the trusted CA from the environment.
    from binance.client import Client
    from binance.exceptions import BinanceAPIException

    Client.API_URL = f"https://localhost:{port}/api"
    client = Client(key(folder, "hmac_api_key"), key(folder, "hmac_secret"))
    bid = Decimal(client.get_orderbook_ticker(symbol=SYMBOL)["bidPrice"])
    resting = {
        "symbol": SYMBOL,
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "price": str(round(bid * Decimal("0.9"), 2)),
        "quantity": "0.003",
    }
    assert client.create_test_order(**resting) == {}
    placed = client.create_order(**resting, newClientOrderId="over-rest")
    assert (placed["status"], placed["fills"]) == ("NEW", []), placed
    shown = client.get_order(symbol=SYMBOL, origClientOrderId="over-rest")
    assert shown["orderId"] == placed["orderId"], shown
    replaced = client.cancel_replace_order(
        **{**resting, "type": "LIMIT_MAKER", "timeInForce": None},
        cancelReplaceMode="STOP_ON_FAILURE",
        cancelOrderId=placed["orderId"],
    )
    assert replaced["newOrderResult"] == "SUCCESS", replaced
    (left,) = client.get_open_orders(symbol=SYMBOL)
    assert left["type"] == "LIMIT_MAKER", left
    cancelled = client.cancel_order(symbol=SYMBOL, orderId=left["orderId"])
    assert cancelled["status"] == "CANCELED", cancelled
    try:
        client.cancel_order(symbol=SYMBOL, orderId=left["orderId"])
    except BinanceAPIException as error:
        assert (error.status_code, error.code) == (400, -2011), error
    else:
        raise AssertionError("it was cancelled twice")
    bought = client.order_market_buy(symbol=SYMBOL, quoteOrderQty="500")
    assert bought["status"] == "FILLED", bought
    trades = client.get_my_trades(symbol=SYMBOL, orderId=bought["orderId"])
    spent = sum(Decimal(trade["quoteQty"]) for trade in trades)
    assert spent == Decimal(bought["cummulativeQuoteQty"]), trades
    account = client.get_account()
    return {row["asset"]: Decimal(row["free"]) for row in account["balances"]}, bought


def main():
    veloz = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        venue, port = start_venue(veloz, folder)
        try:
            before = asyncio.run(over_websocket(port, folder))
            for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
                os.environ[name] = f"{folder}/ca.pem"
            after, bought = over_rest(port, folder)
            spent = before["USDT"] - after["USDT"]
            assert spent == Decimal(bought["cummulativeQuoteQty"]), (before, after, bought)
            fees = sum(Decimal(fill["commission"]) for fill in bought["fills"])
            got = after["BTC"] - before["BTC"]
            assert got == Decimal(bought["executedQty"]) - fees, (before, after, bought)
            print("two clients traded; the account agrees with their answers to the last unit")
        finally:
            venue.terminate()
            code = venue.wait(timeout=10)
    if code != 0:
        sys.exit(f"the venue ended with {code}")


main()
