#!/usr/bin/env python3
"""Does a Binance client that is not ours build the simulated venue's own book?

Starts `veloz venue`, points python-binance at it by URL and CA alone, lets its depth cache follow
one symbol (REST snapshot, then the diff stream), and compares the cache with the venue's book
after each diff: every level of both sides, at COUNT update ids in a row, none skipped.

Usage: third_party_book.py PATH_OF_VELOZ [COUNT]
"""

import asyncio
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from decimal import Decimal

SYMBOL = "BTCUSDT"
# The client opens its stream after its first snapshot, notices the gap, and takes another one.
# Until its updates have passed that one it holds levels of two moments; that takes a few diffs.
SETTLE_DIFFS = 20


def start_venue(veloz, ca_file, history):
    venue = subprocess.Popen(
        [
            veloz,
            "venue",
            "--port=0",
            f"--ca-file={ca_file}",
            f"--book-history={history}",
            f"--symbols={SYMBOL}",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in venue.stdout:
        found = re.match(r"rest +https://localhost:(\d+)/", line)
        if found:
            return venue, int(found[1])
    sys.exit("the venue did not start")


def side(levels):
    return {Decimal(price): Decimal(qty) for price, qty in levels}


async def compare(port, count):
    # Imported here: it reads the trusted CA from the environment.
    from binance import AsyncClient, BinanceSocketManager, DepthCacheManager

    AsyncClient.API_URL = f"https://localhost:{port}/api"
    BinanceSocketManager.STREAM_URL = f"wss://localhost:{port}/"
    client = await AsyncClient.create()
    try:
        info = await client.get_exchange_info()
        assert [row["symbol"] for row in info["symbols"]] == [SYMBOL], info
        ticker = await client.get_orderbook_ticker(symbol=SYMBOL)
        assert Decimal(ticker["bidPrice"]) < Decimal(ticker["askPrice"]), ticker
        assert abs((await client.get_server_time())["serverTime"] - 1e3 * time.time()) < 60_000

        manager = DepthCacheManager(
            client, SYMBOL, limit=5000, conv_type=Decimal, ws_interval=100
        )
        books = {}
        async with manager:
            last = None
            while len(books) < count + SETTLE_DIFFS:
                cache = await asyncio.wait_for(manager.recv(), timeout=30)
                update_id = manager._last_update_id
                if update_id == last:
                    continue
                last = update_id
                books[update_id] = (side(cache.get_bids()), side(cache.get_asks()))
        ids = list(books)[SETTLE_DIFFS:]

        async with client.session.get(
            f"https://localhost:{port}/sim/v1/books?symbol={SYMBOL}"
        ) as reply:
            venue_ids = await reply.json(content_type=None)
        first = venue_ids.index(ids[0])
        assert venue_ids[first : first + count] == ids, "an update id was skipped"

        levels = 0
        for update_id in ids:
            async with client.session.get(
                f"https://localhost:{port}/sim/v1/book?symbol={SYMBOL}&updateId={update_id}"
            ) as reply:
                truth = await reply.json(content_type=None)
            bids, asks = books[update_id]
            assert bids == side(truth["bids"]), difference(update_id, bids, truth["bids"])
            assert asks == side(truth["asks"]), difference(update_id, asks, truth["asks"])
            levels += len(bids) + len(asks)
        print(f"equal at {len(ids)} update ids in a row, {levels // len(ids)} levels on average")
    finally:
        await client.close_connection()


def difference(update_id, ours, truth):
    truth = side(truth)
    prices = (price for price in {*ours, *truth} if ours.get(price) != truth.get(price))
    shown = [
        f"{price}: client {ours.get(price)}, venue {truth.get(price)}"
        for price in itertools.islice(sorted(prices), 10)
    ]
    return f"books differ at {update_id}: " + "; ".join(shown)


def main():
    veloz = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    with tempfile.TemporaryDirectory() as folder:
        ca_file = os.path.join(folder, "ca.pem")
        venue, port = start_venue(veloz, ca_file, 2 * count + 200)
        try:
            os.environ["SSL_CERT_FILE"] = ca_file
            asyncio.run(compare(port, count))
        finally:
            venue.terminate()
            code = venue.wait(timeout=10)
    if code != 0:
        sys.exit(f"the venue ended with {code}")


main()
