"""What the agent pools of AKS and of Arc have in common: everything but their models.

The two SDK packages name the same methods and differ in what they take before the pool's name.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from activities.clients.azure import pool_answers
from activities.clients.azure.caller import CallClass, Caller
from activities.clients.azure.errors import AzureFailed
from activities.clients.azure.models import (
    Begun,
    OperationState,
    OperationStatus,
    Pool,
    PoolSpec,
)
from activities.clients.azure.operations import OneLook, Token
from planner.azure_errors import AzureFailure

_Model = TypeVar("_Model")


class PoolCalls(Generic[_Model]):
    """See `AgentPools`; one subclass a service."""

    _operations: Any
    """The SDK's group of methods for pools."""
    _cluster: tuple[str, ...]
    """What its methods take before the pool's name."""
    _only_if_missing: Mapping[str, Any]
    """Options by which a create leaves alone a pool that is there."""

    def __init__(self, caller: Caller) -> None:
        """Take the door."""
        self._caller = caller
        self._only_if_missing = {}

    @abstractmethod
    def _model(self, spec: PoolSpec) -> _Model: ...

    @abstractmethod
    def _empty_model(self) -> _Model: ...

    @abstractmethod
    def _pool(self, found: _Model) -> Pool: ...

    @abstractmethod
    def _list_models(self, options: dict[str, Any]) -> Any: ...

    async def close(self) -> None:
        """Close the connections."""
        await self._caller.close()

    async def begin_create(self, spec: PoolSpec, *, key: str) -> Begun:
        """See `AgentPools`."""

        async def send(options: dict[str, Any]) -> str:
            poller = await self._operations.begin_create_or_update(
                *self._cluster,
                spec.name,
                self._model(spec),
                polling=OneLook(**options),
                **self._only_if_missing,
                **options,
            )
            return str(poller.continuation_token())

        try:
            sdk_token = await self._caller.call(
                f"create agent pool {spec.name}",
                send,
                key=key,
                verb="create",
                bucket=f"put/{spec.name}",
                call_class=CallClass.WRITE,
            )
        except AzureFailed as failed:
            if pool_answers.is_there_already(failed.failure):
                return Begun()
            raise
        return Begun(Token("create", spec.name, sdk_token).encode(), created=True)

    async def begin_delete(self, name: str, *, key: str) -> Begun:
        """See `AgentPools`."""

        async def send(options: dict[str, Any]) -> str:
            look = OneLook(**options)
            poller = await self._operations.begin_delete(
                *self._cluster, name, polling=look, **options
            )
            return "" if look.is_nothing_to_do() else str(poller.continuation_token())

        try:
            sdk_token = await self._caller.call(
                f"delete agent pool {name}",
                send,
                key=key,
                verb="delete",
                bucket="other",
                call_class=CallClass.DELETE,
            )
        except AzureFailed as failed:
            if await self._is_gone(name, failed.failure, key=key):
                return Begun()
            raise
        if not sdk_token:
            return Begun()
        return Begun(Token("delete", name, sdk_token).encode(), created=True)

    async def poll(self, token: str, *, key: str) -> OperationStatus:
        """See `AgentPools`.

        Raises:
            ValueError: the token is none of ours.
        """
        opened = Token.decode(token)

        async def send(options: dict[str, Any]) -> OperationStatus:
            look = OneLook(**options)
            resume = {"polling": look, "continuation_token": opened.sdk_token, **options}
            # With a token, neither sends the request that began the operation.
            if opened.verb == "create":
                poller = await self._operations.begin_create_or_update(
                    *self._cluster, opened.pool, self._empty_model(), **resume
                )
            else:
                poller = await self._operations.begin_delete(*self._cluster, opened.pool, **resume)
            await poller.wait()
            return look.outcome()

        try:
            return await self._caller.call(
                f"read the operation on agent pool {opened.pool}",
                send,
                key=key,
                verb=opened.verb,
                bucket="operation",
            )
        except AzureFailed as failed:
            if pool_answers.is_operation_missing(failed.failure):
                return OperationStatus(OperationState.FORGOTTEN, failed.failure)
            raise

    async def find(self, name: str, *, key: str) -> Pool | None:
        """See `AgentPools`."""

        async def send(options: dict[str, Any]) -> _Model:
            found: _Model = await self._operations.get(*self._cluster, name, **options)
            return found

        try:
            found = await self._caller.call(
                f"read agent pool {name}", send, key=key, verb="get", bucket="other"
            )
        except AzureFailed as failed:
            if await self._is_gone(name, failed.failure, key=key):
                return None
            raise
        return self._pool(found)

    async def list(self, tags: Mapping[str, str], *, key: str) -> list[Pool]:
        """See `AgentPools`."""

        async def send(options: dict[str, Any]) -> list[_Model]:
            return [one async for one in self._list_models(options)]

        found = await self._caller.call(
            "list agent pools", send, key=key, verb="list", bucket="other"
        )
        pools = [pool for pool in map(self._pool, found) if pool.has_tags(tags)]
        return sorted(pools, key=lambda pool: pool.name)

    async def _is_gone(self, name: str, failure: AzureFailure, *, key: str) -> bool:
        """Say whether a refusal proves that there is no such pool."""
        if not pool_answers.is_missing(failure):
            return False
        if pool_answers.is_certainly_missing(failure):
            return True
        # A list that succeeds proves that the cluster is there, and what is not in it is gone.
        return all(pool.name != name for pool in await self.list({}, key=key))
