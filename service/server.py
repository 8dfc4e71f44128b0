"""Serve in the foreground: one event loop, h11, bounded waits, a stop that ends."""

from __future__ import annotations

import ipaddress

import uvicorn
from fastapi import FastAPI

from service import logs
from service.app import create_app
from service.protocol import DeadlineH11Protocol, with_timeouts
from service.settings import Settings, environment_name
from service.storage.database import Database


class UnsafeAddressError(Exception):
    """The address is open to others and no key is set."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def serve(settings: Settings, *, insecure: bool = False) -> None:
    """Run until SIGTERM or SIGINT; the tables are made, or found, before anybody is let in."""
    if not (is_loopback(settings.host) or settings.api_keys or insecure):
        raise UnsafeAddressError(
            f"{settings.host} can be reached from other machines: set "
            f"{environment_name('api_keys')}, or pass --insecure to serve without keys"
        )
    database = Database(settings.database_url())
    database.prepare()
    database.close()
    run(create_app(settings), settings)


def run(app: FastAPI, settings: Settings) -> None:
    """Serve an application with these settings until a signal ends it."""
    logs.configure()
    protocol: type[DeadlineH11Protocol] = with_timeouts(
        settings.header_timeout, settings.write_timeout
    )
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        http=protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.max_connections,
        timeout_graceful_shutdown=settings.shutdown_timeout,
    )
