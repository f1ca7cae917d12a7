"""All state of the host: one store, one transaction over whatever a request changes."""

from host_api.store.protocol import ConstraintViolated, Store, StoreError, Transaction, owe_scrub
from host_api.store.sqlite import open_store

__all__ = ["ConstraintViolated", "Store", "StoreError", "Transaction", "open_store", "owe_scrub"]
